//! Keeps what one WebSocket costs in memory within bounds, before its frames are read (RFC 6455 §5.2).
//!
//! In: the bytes of the connection. Out: the same bytes, or an error as soon as a header announces too much; and no more
//! of them while a frame that was given out has not been handled. The frames themselves are read by the library behind
//! it, which would first collect the whole frame, and for each frame that it reads, all that has arrived meanwhile.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{error::PayloadError, web};
use bytes::Bytes;

/// Follows the frames of a byte stream.
#[derive(Debug)]
struct FrameWatch {
    limit: u64,
    header: [u8; 10],
    collected: usize,
    payload_left: u64,
    /// Frames of which the last byte has passed.
    complete: u64,
}

/// A frame that announces more than the limit.
#[derive(Debug, PartialEq, Eq)]
struct TooBig;

impl FrameWatch {
    fn new(limit: usize) -> Self {
        Self { limit: limit as u64, header: [0; 10], collected: 0, payload_left: 0, complete: 0 }
    }

    fn watch(&mut self, mut data: &[u8]) -> Result<(), TooBig> {
        while let Some((&byte, rest)) = data.split_first() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(data.len() as u64);
                self.payload_left -= skipped;
                self.complete += u64::from(self.payload_left == 0);
                data = &data[skipped as usize..];
                continue;
            }
            data = rest;
            self.header[self.collected] = byte;
            self.collected += 1;
            if let Some(length) = self.announced() {
                if length > self.limit {
                    return Err(TooBig);
                }
                let mask = if self.header[1] & 0x80 != 0 { 4 } else { 0 };
                self.payload_left = length + mask;
                self.complete += u64::from(self.payload_left == 0);
                self.collected = 0;
            }
        }
        Ok(())
    }

    /// The payload's length, once enough of the header is there. The masking key counts as payload.
    fn announced(&self) -> Option<u64> {
        let [_, second, extended @ ..] = self.header;
        match (second & 0x7f, self.collected) {
            (_, 0..2) => None,
            (126, 4) => Some(u64::from(u16::from_be_bytes([extended[0], extended[1]]))),
            (127, 10) => Some(u64::from_be_bytes(extended)),
            (126 | 127, _) => None,
            (short, _) => Some(u64::from(short)),
        }
    }
}

/// What the guard of a connection and the reader of its frames tell each other. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pace(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    refused: Cell<bool>,
    /// Frames that were given out whole and not handled yet.
    ahead: Cell<u64>,
}

impl Pace {
    /// One frame was handled.
    pub fn handled(&self) {
        self.0.ahead.set(self.0.ahead.get().saturating_sub(1));
    }

    /// Whether the guard has refused a frame: why the stream ended.
    pub fn refused(&self) -> bool {
        self.0.refused.get()
    }
}

/// A request's payload, watched.
pub struct FrameGuard<S = web::Payload> {
    payload: S,
    watch: FrameWatch,
    pace: Pace,
}

impl<S> FrameGuard<S> {
    /// Watches `payload` for frames of more than `limit` bytes.
    pub fn new(payload: S, limit: usize) -> (Self, Pace) {
        let pace = Pace::default();
        (Self { payload, watch: FrameWatch::new(limit), pace: pace.clone() }, pace)
    }
}

impl<S> futures_core::Stream for FrameGuard<S>
where
    S: futures_core::Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let shared = self.pace.0.clone();
        if shared.refused.get() {
            return Poll::Ready(None);
        }
        if shared.ahead.get() > 0 {
            // Whoever asks has a frame to read, and asks again when that is done: nobody needs to be woken.
            return Poll::Pending;
        }
        let item = ready!(Pin::new(&mut self.payload).poll_next(cx));
        if let Some(Ok(data)) = &item {
            let before = self.watch.complete;
            if self.watch.watch(data).is_err() {
                shared.refused.set(true);
                return Poll::Ready(Some(Err(PayloadError::Overflow)));
            }
            shared.ahead.set(self.watch.complete - before);
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's frame: masked, header only as long as it must be.
    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x81];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.extend(std::iter::repeat_n(0xff, length));
        frame
    }

    #[test]
    fn huge_frame_is_refused_by_its_header_alone() {
        let mut header = vec![0x82, 0xff];
        header.extend((500_u64 << 20).to_be_bytes());
        assert_eq!(FrameWatch::new(16 << 20).watch(&header), Err(TooBig));
    }

    #[test]
    fn frame_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
        for limit in [125, 126, 65_535, 65_536] {
            assert_eq!(FrameWatch::new(limit).watch(&frame(limit)), Ok(()));
            assert_eq!(FrameWatch::new(limit).watch(&frame(limit + 1)), Err(TooBig));
        }
    }

    /// Chunks that are all there at once.
    struct Chunks(std::vec::IntoIter<Bytes>);

    impl futures_core::Stream for Chunks {
        type Item = Result<Bytes, PayloadError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.next().map(Ok))
        }
    }

    #[test]
    fn nothing_is_read_ahead_of_a_frame_that_was_not_handled() {
        let chunks =
            [[frame(3), frame(0)].concat(), frame(300)[..200].to_vec(), frame(300)[200..].to_vec(), frame(1)];
        let chunks = Chunks(chunks.map(Bytes::from).to_vec().into_iter());
        let (mut guard, pace) = FrameGuard::new(chunks, 1000);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut next = || match futures_core::Stream::poll_next(Pin::new(&mut guard), &mut cx) {
            Poll::Ready(Some(Ok(data))) => Some(data.len()),
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => None,
        };
        assert_eq!((next(), next()), (Some(9 + 6), None), "two frames are there to be read");
        pace.handled();
        assert_eq!(next(), None);
        pace.handled();
        assert_eq!((next(), next()), (Some(200), Some(108)), "a part of a frame can only be read on");
        assert_eq!(next(), None);
        pace.handled();
        assert_eq!((next(), next()), (Some(7), None));
    }

    proptest! {
        #[test]
        fn split_of_the_stream_does_not_matter(
            lengths in prop::collection::vec(prop_oneof![0usize..300, 65_530usize..65_540], 1..6),
            chunk in 1usize..50,
        ) {
            let mut stream: Vec<u8> = lengths.iter().flat_map(|&length| frame(length)).collect();
            let mut watch = FrameWatch::new(70_000);
            for piece in stream.chunks(chunk) {
                prop_assert_eq!(watch.watch(piece), Ok(()));
            }
            prop_assert_eq!(watch.complete, lengths.len() as u64);
            stream = frame(70_001);
            prop_assert!(stream.chunks(chunk).any(|piece| watch.watch(piece).is_err()));
        }
    }
}
