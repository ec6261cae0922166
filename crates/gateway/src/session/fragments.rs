//! Counts the pieces that a message comes in, and bounds them.
//!
//! The WebSocket library puts fragments together by itself. It bounds the bytes, not the pieces, and pieces may be
//! empty: so this reads the frame headers (RFC 6455, section 5.2) in the bytes on their way to the library, and ends the
//! stream at one piece too many. It changes nothing and checks nothing else: wrong headers are left to the library.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const OPCODE: u8 = 0x0f;
/// The first opcode of control frames, which come whole and between others.
const CONTROL: u8 = 0x8;

/// The error of a message that came in too many pieces.
#[derive(Debug, thiserror::Error)]
#[error("a message in too many fragments")]
pub(super) struct TooMany;

/// A stream of a client's frames, whose pieces are counted.
#[derive(Debug)]
pub(crate) struct Fragments<S> {
    stream: S,
    count: Count,
}

impl<S> Fragments<S> {
    /// Bounds the pieces of a message to `most`. `read` was read off the stream before.
    pub(super) fn new(stream: S, most: usize, read: &[u8]) -> Self {
        let mut count = Count { most: u32::try_from(most).unwrap_or(u32::MAX), ..Count::default() };
        // Too many pieces in `read` are found again when the stream is read.
        let _ = count.pass(read);
        Self { stream, count }
    }
}

/// The pieces so far, and the place in a frame where the stream is.
#[derive(Debug, Default)]
struct Count {
    most: u32,
    pieces: u32,
    /// Bytes of the frame, its mask included, that are yet to pass.
    rest: u64,
    head: [u8; 10],
    have: u8,
}

impl Count {
    fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let passing = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len());
                self.rest -= passing as u64;
                bytes = &bytes[passing..];
                continue;
            }
            self.head[usize::from(self.have)] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            if let Some(rest) = self.length() {
                (self.rest, self.have) = (rest, 0);
                self.begin(self.head[0])?;
            }
        }
        Ok(())
    }

    /// Returns how many bytes come after the header, once that is whole.
    fn length(&self) -> Option<u64> {
        let mask = if self.head[1] & MASKED == 0 { 0 } else { 4 };
        let length = match (self.have, self.head[1] & !MASKED) {
            (2, short @ ..126) => u64::from(short),
            (4, 126) => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            (10, 127) => {
                let [_, _, length @ ..] = self.head;
                u64::from_be_bytes(length)
            }
            _ => return None,
        };
        Some(length.saturating_add(mask))
    }

    fn begin(&mut self, first: u8) -> io::Result<()> {
        if first & OPCODE >= CONTROL {
            return Ok(());
        }
        self.pieces += 1;
        self.check()?;
        if first & FINAL != 0 {
            self.pieces = 0;
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        if self.pieces > self.most { Err(io::Error::other(TooMany)) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Fragments<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.count.pass(&buf.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fragments<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A masked frame as a client sends it.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => bytes.push(MASKED | short),
            (_, Ok(medium)) => {
                bytes.push(0xfe);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(0xff);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        // A payload that looks like frames.
        bytes.extend(std::iter::repeat_n(0, 4 + length));
        bytes
    }

    /// Returns after how many bytes there are too many pieces, if at all.
    fn passes(most: u32, bytes: &[u8], cuts: usize) -> Option<usize> {
        let mut count = Count { most, ..Count::default() };
        let mut passed = 0;
        for part in bytes.chunks(cuts.max(1)) {
            if count.pass(part).is_err() {
                return Some(passed);
            }
            passed += part.len();
        }
        None
    }

    #[test]
    fn pieces_are_counted_to_the_last_one_and_control_frames_are_none() {
        let pieces = |n: usize| {
            let mut bytes = frame(0x1, 3);
            for _ in 2..n {
                bytes.extend([frame(0x89, 5), frame(0x0, 0)].concat());
            }
            bytes.extend(frame(FINAL, 200));
            bytes
        };
        assert_eq!(passes(8, &pieces(8), 1), None);
        assert_eq!(passes(8, &[pieces(8), pieces(8), frame(0x81, 70_000), pieces(8)].concat(), 7), None);
        assert!(passes(8, &pieces(9), 1).is_some());
        // Empty pieces without an end.
        assert!(passes(8, &frame(0x0, 0).repeat(9), 1000).is_some());
        assert_eq!(passes(8, &frame(0x8a, 0).repeat(10_000), 1000), None);
        // The largest possible length does not overflow.
        assert_eq!(passes(8, &[&[0x81, 0xff][..], &[0xff; 1000]].concat(), 3), None);
    }

    proptest! {
        /// However the stream is cut, the same frame is the one too many.
        #[test]
        fn cuts_make_no_difference(
            frames in prop::collection::vec((any::<bool>(), 0..4u8, prop::sample::select(vec![0usize, 1, 125, 126, 70_000])), 1..12),
            most in 1..5u32, cuts in 1..50usize, noise: Vec<u8>,
        ) {
            let (mut bytes, mut pieces, mut too_many) = (Vec::new(), 0, false);
            for (last, kind, length) in frames {
                let opcode = [0x0, 0x1, 0x2, 0x9][usize::from(kind)];
                bytes.extend(frame(if last { FINAL | opcode } else { opcode }, length));
                if opcode < CONTROL {
                    pieces += 1;
                    too_many |= pieces > most;
                    pieces = if last { 0 } else { pieces };
                }
            }
            prop_assert_eq!(passes(most, &bytes, cuts).is_some(), too_many);
            let _ = passes(most, &noise, cuts);
        }
    }
}
