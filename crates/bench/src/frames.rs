//! Bytes on the socket: the upgrade, WebSocket frames both ways, and the mark by which an update is known. Pure.
//!
//! Nothing here allocates for a message: frames are appended to a buffer that stays, and read where they lie.

use std::io::Write as _;
use std::ops::Range;

use rosterd_protocol::Encoding;

/// WebSocket opcodes.
pub const TEXT: u8 = 1;
/// The opcode of a binary message.
pub const BINARY: u8 = 2;
/// The opcode of a close frame.
pub const CLOSE: u8 = 8;
/// The opcode of a ping.
pub const PING: u8 = 9;
/// The opcode of a pong.
pub const PONG: u8 = 10;

/// The largest frame that is accepted from a gateway, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Returns the opcode of a message in this encoding.
#[must_use]
pub fn opcode(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Json => TEXT,
        Encoding::Protobuf => BINARY,
    }
}

/// Makes the request that upgrades a connection to a WebSocket.
#[must_use]
pub fn upgrade_request(host: &str, path: &str, encoding: Encoding) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {}\r\n\r\n",
        encoding.subprotocol()
    )
}

/// Finds the end of the head of an HTTP answer, if the head is complete.
#[must_use]
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// Appends a complete client frame. Its mask is zero, which is valid, the same work for the gateway, and no work here.
pub fn append(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        middle @ 126..0x1_0000 => {
            out.push(0xFE);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(0xFF);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A frame of the gateway at the beginning of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The opcode.
    pub opcode: u8,
    /// The place of its payload; the next frame begins at its end.
    pub payload: Range<usize>,
}

/// Reads the first frame of `bytes`; none if more bytes are needed.
///
/// # Errors
/// No gateway sends this: it is masked, fragmented, or of an absurd size.
pub fn first(bytes: &[u8]) -> Result<Option<Frame>, String> {
    let [head, length, rest @ ..] = bytes else { return Ok(None) };
    if head & 0xF0 != 0x80 || length & 0x80 != 0 {
        return Err(format!("a WebSocket frame that no gateway sends: {head:#04x} {length:#04x}"));
    }
    let long = match length {
        126 => rest.first_chunk().map(|bytes| (u64::from(u16::from_be_bytes(*bytes)), 4)),
        127 => rest.first_chunk().map(|bytes| (u64::from_be_bytes(*bytes), 10)),
        short => Some((u64::from(*short), 2)),
    };
    let Some((length, start)) = long else { return Ok(None) };
    if length > LARGEST {
        return Err(format!("a WebSocket frame of {length} bytes"));
    }
    let end = start + length as usize;
    Ok((end <= bytes.len()).then(|| Frame { opcode: head & 0x0F, payload: start..end }))
}

/// How many characters a mark has.
pub const MARK: usize = 24;

/// The mark of an update: the nick that it sets, which can be found in any encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentMark {
    /// Distinguishes this run's updates from those that earlier runs left.
    pub run: u32,
    /// The sender.
    pub sender: u32,
    /// The number of the update among the sender's.
    pub number: u32,
}

impl SentMark {
    /// Appends the mark: `~~`, then run, sender and number in hexadecimal.
    pub fn append(self, out: &mut Vec<u8>) {
        let Self { run, sender, number } = self;
        let _ = write!(out, "~~{run:08x}{sender:06x}{number:08x}");
    }

    /// Reads the text that follows the `~~`.
    fn read(bytes: &[u8]) -> Option<Self> {
        let hex = |range: Range<usize>| {
            bytes.get(range)?.iter().try_fold(0u32, |sum, digit| Some(sum << 4 | (*digit as char).to_digit(16)?))
        };
        Some(Self { run: hex(0..8)?, sender: hex(8..14)?, number: hex(14..22)? })
    }
}

/// Calls `found` for every mark of a run in `bytes`.
pub fn marks(bytes: &[u8], run: u32, mut found: impl FnMut(SentMark)) {
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, b"~~") {
        // One byte further only, because a name may end with a `~` before a mark.
        rest = &rest[at + 1..];
        if let Some(mark) = SentMark::read(&rest[1..]).filter(|mark| mark.run == run) {
            found(mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        for length in [0, 1, 125, 126, 300, 65_535, 65_536, 70_000] {
            let payload = vec![7; length];
            let mut bytes = Vec::new();
            append(TEXT, &payload, &mut bytes);
            // A client's frame is a gateway's but for the mask, which here is zero.
            let mask = bytes.len() - length - 4;
            bytes.drain(mask..mask + 4);
            bytes[1] &= 0x7F;
            bytes.push(0x81);
            let frame = first(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, &bytes[frame.payload.clone()]), (TEXT, &payload[..]));
            assert_eq!(frame.payload.end, bytes.len() - 1, "the next one begins there");
            for cut in [0, 1, 2, 3, 5, frame.payload.end.saturating_sub(1)] {
                if cut < frame.payload.end {
                    assert_eq!(first(&bytes[..cut]).unwrap(), None, "{length} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_frame_of_a_gateway_is_told() {
        assert!(first(b"HTTP/1.1 200 OK").is_err());
        assert!(first(&[0x01, 0x02]).is_err(), "a fragment");
        assert!(first(&[0x81, 0x80, 0, 0]).is_err(), "masked");
        assert!(first(&[0x82, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn marks_are_found_among_anything_and_only_those_of_the_run() {
        let mark = |run, sender, number| {
            let mut out = Vec::new();
            SentMark { run, sender, number }.append(&mut out);
            assert_eq!(out.len(), MARK);
            String::from_utf8(out).unwrap()
        };
        let text = format!("~~~{}~~zz{}\"{}~~1", mark(5, 1, 2), mark(6, 1, 1), mark(5, 0xFF_FFFF, u32::MAX));
        let mut found = Vec::new();
        marks(text.as_bytes(), 5, |mark| found.push((mark.sender, mark.number)));
        assert_eq!(found, [(1, 2), (0xFF_FFFF, u32::MAX)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fall(bytes in prop::collection::vec(any::<u8>(), 0..300), run: u32) {
            let _ = first(&bytes).map(|frame| frame.map(|frame| bytes[frame.payload].len()));
            marks(&bytes, run, |_| ());
        }
    }
}
