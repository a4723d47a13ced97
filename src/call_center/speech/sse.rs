//! `Events` cuts a stream of server-sent events (HTML Living Standard §9.2) into the data of its events.
//!
//! In: bytes in any chunking. Out: the `data:` lines as text; other fields are left out. Text is decoded by whole lines, so a
//! character that was cut in two is whole again.

/// The state between two chunks.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
}

impl Events {
    /// Takes a chunk and hands the data of each line that is complete to `data`. False when a line is too long to be true.
    pub(super) fn take(&mut self, chunk: &[u8], mut data: impl FnMut(&str)) -> bool {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = String::from_utf8_lossy(self.line.trim_ascii_end());
            if let Some(value) = line.strip_prefix("data:") {
                data(value.strip_prefix(' ').unwrap_or(value));
            }
            self.line.clear();
        }
        self.line.extend_from_slice(rest);
        self.line.len() <= LONGEST_LINE
    }
}

const LONGEST_LINE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_the_same_however_it_was_cut() {
        let stream =
            ": hello\r\ndata: {\"a\":\"café 你\"}\r\n\r\nevent: x\ndata:b\n\ndata: [DONE]\n\n".as_bytes();
        for size in 1..=stream.len() {
            let (mut events, mut all) = (Events::default(), Vec::new());
            assert!(stream.chunks(size).all(|chunk| events.take(chunk, |data| all.push(data.to_owned()))));
            assert_eq!(all, ["{\"a\":\"café 你\"}", "b", "[DONE]"], "cut by {size}");
        }
    }

    #[test]
    fn endless_line_is_refused() {
        let mut events = Events::default();
        assert!((0..20).any(|_| !events.take(&[b'a'; 100_000], |_| {})));
    }
}
