//! Refuses a WebSocket frame by its header, before memory is spent on its payload (RFC 6455 §5.2).
//!
//! In: the bytes of the connection. Out: the same bytes, or an error as soon as a header announces too much. The
//! frames themselves are read by the library behind it, which would first collect the whole frame.

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
}

/// A frame that announces more than the limit.
#[derive(Debug, PartialEq, Eq)]
struct TooBig;

impl FrameWatch {
    fn new(limit: usize) -> Self {
        Self { limit: limit as u64, header: [0; 10], collected: 0, payload_left: 0 }
    }

    fn watch(&mut self, mut data: &[u8]) -> Result<(), TooBig> {
        while let Some((&byte, rest)) = data.split_first() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(data.len() as u64);
                self.payload_left -= skipped;
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

/// Whether the guard has refused a frame: why the stream ended.
pub type Refused = Rc<Cell<bool>>;

/// A request's payload, watched.
pub struct FrameGuard {
    payload: web::Payload,
    watch: FrameWatch,
    refused: Refused,
}

impl FrameGuard {
    /// Watches `payload` for frames of more than `limit` bytes.
    pub fn new(payload: web::Payload, limit: usize) -> (Self, Refused) {
        let refused = Refused::default();
        (Self { payload, watch: FrameWatch::new(limit), refused: refused.clone() }, refused)
    }
}

impl futures_core::Stream for FrameGuard {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.refused.get() {
            return Poll::Ready(None);
        }
        let item = ready!(Pin::new(&mut self.payload).poll_next(cx));
        match &item {
            Some(Ok(data)) if self.watch.watch(data).is_err() => {
                self.refused.set(true);
                Poll::Ready(Some(Err(PayloadError::Overflow)))
            }
            _ => Poll::Ready(item),
        }
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
            stream = frame(70_001);
            prop_assert!(stream.chunks(chunk).any(|piece| watch.watch(piece).is_err()));
        }
    }
}
