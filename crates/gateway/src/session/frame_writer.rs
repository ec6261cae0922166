//! Frames outgoing WebSocket messages, several to a write.
//!
//! The gateway frames its data messages itself and writes them straight to the stream: a batch of frames goes out in
//! one write and its buffer is gone afterwards, whereas a library's write buffer keeps its largest size for the
//! connection's life. Server frames are not masked (RFC 6455, section 5.1), so a frame is a header and the bytes.

use rosterd_engine::model::CloseReason;
use rosterd_protocol::{Encoding, v1};

const FINAL: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;

/// The memory of so many written bytes is worth giving back.
const PIECE: usize = 32 * 1024;

/// Frames that are written together.
#[derive(Debug)]
pub(super) struct FrameWriter {
    encoding: Encoding,
    bytes: Vec<u8>,
    /// Whether it starts with the rest of a frame that was written in part.
    is_continued: bool,
}

impl FrameWriter {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self::with_capacity(encoding, 0)
    }

    /// Makes one with room for a payload whose size is about known.
    pub(super) fn with_capacity(encoding: Encoding, bytes: usize) -> Self {
        Self { encoding, bytes: Vec::with_capacity(bytes), is_continued: false }
    }

    /// Adds a message whose payload `fill` appends.
    pub(super) fn message(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let opcode = if self.encoding == Encoding::Json { TEXT } else { BINARY };
        self.frame(opcode, fill);
    }

    /// Adds a message that is made for this client alone.
    pub(super) fn server(&mut self, frame: &v1::ServerFrame) {
        let encoding = self.encoding;
        self.message(|payload| encoding.encode(frame, payload));
    }

    /// Adds the close frame.
    pub(super) fn close(&mut self, reason: CloseReason) {
        self.frame(CLOSE, |payload| {
            payload.extend_from_slice(&reason.code().to_be_bytes());
            payload.extend_from_slice(reason.word().as_bytes());
        });
    }

    /// Starts with what is left of a frame that was written in part. Nothing was added before.
    pub(super) fn rest(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.is_continued = true;
    }

    pub(super) fn is_continued(&self) -> bool {
        self.is_continued
    }

    /// Adds all of these frames.
    pub(super) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether it takes much memory for bytes that were written. Moving the rest costs about as much as it is.
    pub(super) fn is_worth_forgetting(&self, written: usize) -> bool {
        written >= PIECE.max(self.bytes.len() / 4)
    }

    /// Gives back the memory of bytes that were written, and any that it does not need.
    pub(super) fn forget(&mut self, written: usize) {
        self.bytes.drain(..written);
        self.bytes.shrink_to_fit();
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Empties it for another client, and keeps its memory.
    pub(super) fn restart(&mut self, encoding: Encoding) {
        self.clear();
        self.encoding = encoding;
    }

    fn frame(&mut self, opcode: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        // Room for the most frequent header; other payloads move once their length is known.
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[FINAL | opcode, 126, 0, 0]);
        fill(&mut self.bytes);
        let length = self.bytes.len() - start - 4;
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => {
                self.bytes[start + 1] = short;
                self.bytes.drain(start + 2..start + 4);
            }
            (_, Ok(medium)) => self.bytes[start + 2..start + 4].copy_from_slice(&medium.to_be_bytes()),
            _ => {
                self.bytes[start + 1] = 127;
                self.bytes.splice(start + 2..start + 4, (length as u64).to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

    /// Every length class, read back by the library.
    #[test]
    fn frames_read_back() {
        let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000];
        for encoding in Encoding::ALL {
            let mut writer = FrameWriter::new(encoding);
            for size in sizes {
                writer.message(|payload| payload.resize(payload.len() + size, b'x'));
            }
            writer.close(CloseReason::BadToken);
            let stream = std::io::Cursor::new(writer.bytes().to_vec());
            let mut socket = WebSocket::from_raw_socket(stream, Role::Client, Some(WebSocketConfig::default()));
            for size in sizes {
                let expected = "x".repeat(size);
                let expected = match encoding {
                    Encoding::Json => Message::text(expected),
                    Encoding::Protobuf => Message::binary(expected.into_bytes()),
                };
                assert_eq!(socket.read().unwrap(), expected);
            }
            let Message::Close(Some(close)) = socket.read().unwrap() else { panic!("no close frame") };
            assert_eq!((u16::from(close.code), close.reason.as_str()), (3500, "BAD_TOKEN"));
        }
    }
}
