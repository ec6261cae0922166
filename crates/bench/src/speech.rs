//! The commands that a session of a run sends and the frames that it understands, in both encodings. Pure.
//!
//! The first bytes of a frame show its kind. Only the few frames that end a login or a session are decoded in full, by
//! `rosterd_protocol`.

use std::io::Write as _;

use super::frames::{self, MARK, SentMark};
use rosterd_protocol::{ClientCommand, Encoding, v1};

/// The kinds of the gateway's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A heartbeat: an empty frame, which is answered with one.
    Heartbeat,
    /// Records.
    Changes,
    /// The login is accepted.
    LoginReply,
    /// A command is carried out.
    Reply,
    /// A command is refused.
    Refused,
    /// The catch-up is complete.
    Synced,
    /// The gateway is about to close.
    Goodbye,
    /// Who is online.
    Presence,
    /// Anything else.
    Aside,
}

/// Finds the kind of a frame by its first bytes.
#[must_use]
pub fn kind(encoding: Encoding, payload: &[u8]) -> FrameKind {
    if payload == encoding.heartbeat() {
        return FrameKind::Heartbeat;
    }
    match encoding {
        Encoding::Json => json_kind(payload),
        Encoding::Protobuf => protobuf_kind(payload),
    }
}

fn json_kind(payload: &[u8]) -> FrameKind {
    let Some(rest) = payload.strip_prefix(b"{\"") else { return FrameKind::Aside };
    if let Some(rest) = rest.strip_prefix(b"id\":") {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = rest[digits..].strip_prefix(b",\"").unwrap_or_default();
        return match () {
            () if rest.starts_with(b"error\"") => FrameKind::Refused,
            () if rest.starts_with(b"loginReply\"") => FrameKind::LoginReply,
            () => FrameKind::Reply,
        };
    }
    match rest.iter().position(|byte| *byte == b'"').map(|end| &rest[..end]) {
        Some(b"changes") => FrameKind::Changes,
        Some(b"synced") => FrameKind::Synced,
        Some(b"goodbye") => FrameKind::Goodbye,
        Some(b"error") => FrameKind::Refused,
        Some(b"presence") => FrameKind::Presence,
        _ => FrameKind::Aside,
    }
}

/// Finds the kind by the number of the first field, which in a reply is that of the id; tests compare it with the schema.
fn protobuf_kind(payload: &[u8]) -> FrameKind {
    match payload {
        [0x08, rest @ ..] => {
            let id = rest.iter().take_while(|byte| **byte >= 0x80).count() + 1;
            match rest.get(id) {
                Some(0x12) => FrameKind::Refused,
                Some(0x1A) => FrameKind::LoginReply,
                _ => FrameKind::Reply,
            }
        }
        [0x12, ..] => FrameKind::Refused,
        [0x82, 0x02, ..] => FrameKind::Changes,
        [0x8A, 0x02, ..] => FrameKind::Synced,
        [0x92, 0x02, ..] => FrameKind::Goodbye,
        [0x9A, 0x02, ..] => FrameKind::Presence,
        _ => FrameKind::Aside,
    }
}

/// How many friends a presence frame shows online, and how many offline.
///
/// # Errors
/// The frame cannot be read.
pub fn presence(encoding: Encoding, payload: &[u8]) -> Result<(u32, u32), String> {
    let frame = encoding.decode_server(payload).map_err(|error| error.0)?;
    let users = frame.presence.unwrap_or_default().users;
    // The receiver's own has a version.
    let friends = users.iter().filter(|user| user.version.is_none());
    let (online, offline): (Vec<_>, Vec<_>) = friends.partition(|user| user.online);
    Ok((online.len() as u32, offline.len() as u32))
}

/// Whether the login that this frame accepts brings everything, and not only what the client lacks.
///
/// # Errors
/// The frame cannot be read.
pub fn is_full_sync(encoding: Encoding, payload: &[u8]) -> Result<bool, String> {
    let frame = encoding.decode_server(payload).map_err(|error| error.0)?;
    Ok(frame.login_reply.unwrap_or_default().sync() == v1::SyncMode::Full)
}

/// Appends a login as a complete WebSocket frame.
pub fn login(encoding: Encoding, token: &str, cursor: Option<&str>, out: &mut Vec<u8>) {
    let login = v1::Login { token: token.to_owned(), cursor: cursor.map(str::to_owned), device: None };
    let mut payload = Vec::new();
    encoding.encode(&ClientCommand::Login(login).frame(1), &mut payload);
    frames::append(frames::opcode(encoding), &payload, out);
}

/// Appends an update that sets the nick to `mark`, as a whole WebSocket frame.
pub fn update(encoding: Encoding, id: u32, mark: SentMark, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | frames::opcode(encoding), 0x80, 0, 0, 0, 0]);
    match encoding {
        Encoding::Json => {
            let _ = write!(out, "{{\"id\":{id},\"updateMyInfo\":{{\"nick\":\"");
            mark.append(out);
            out.extend_from_slice(b"\"}}");
        }
        Encoding::Protobuf => {
            out.push(0x08);
            varint(id, out);
            out.extend_from_slice(&[0x22, MARK as u8 + 2, 0x0A, MARK as u8]);
            mark.append(out);
        }
    }
    // At most 70 bytes, so the length takes one byte.
    out[start + 1] |= (out.len() - start - 6) as u8;
}

fn varint(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_protocol::{Inbound, decode};

    fn payload(out: &[u8]) -> &[u8] {
        assert_eq!(out[2..6], [0; 4], "the mask");
        assert_eq!(usize::from(out[1] & 0x7F), out.len() - 6);
        &out[6..]
    }

    #[test]
    fn an_update_is_one_that_the_gateway_reads() {
        let mark = SentMark { run: 0x1234_5678, sender: 19_000, number: u32::MAX };
        for encoding in Encoding::ALL {
            for id in [1, 127, 128, 300, u32::MAX] {
                let mut out = Vec::new();
                update(encoding, id, mark, &mut out);
                let Ok(Inbound::Command { id: read, command }) = decode(encoding, payload(&out)) else {
                    panic!("{encoding:?} {out:?}");
                };
                let ClientCommand::UpdateMyInfo(update) = command else { panic!("{command:?}") };
                assert_eq!(read, u64::from(id));
                let only_nick = v1::UpdateMyInfo { nick: update.nick.clone(), ..Default::default() };
                assert_eq!(update, only_nick);
                let mut found = Vec::new();
                frames::marks(update.nick.unwrap().as_bytes(), mark.run, |mark| found.push(mark));
                assert_eq!(found, [mark]);
            }
        }
    }

    #[test]
    fn a_login_is_one_that_the_gateway_reads() {
        for encoding in Encoding::ALL {
            let mut out = Vec::new();
            login(encoding, "ann", Some("c-1"), &mut out);
            let Ok(Inbound::Command { id: 1, command: ClientCommand::Login(login) }) = decode(encoding, payload(&out))
            else {
                panic!("{encoding:?} {out:?}");
            };
            assert_eq!((login.token.as_str(), login.cursor.as_deref()), ("ann", Some("c-1")));
        }
    }

    #[test]
    fn who_came_and_who_left_is_counted_without_the_receiver() {
        let user = |online, version| v1::Presence { account: "ann".into(), online, version, ..Default::default() };
        let users = vec![user(false, None), user(true, None), user(true, None), user(true, None), user(true, Some(3))];
        let frame = v1::ServerFrame { presence: Some(v1::PresenceChanges { users }), ..Default::default() };
        for encoding in Encoding::ALL {
            let mut payload = Vec::new();
            encoding.encode(&frame, &mut payload);
            assert_eq!(presence(encoding, &payload), Ok((3, 1)), "{encoding:?}");
            assert!(presence(encoding, b"\xFF").is_err());
        }
    }

    #[test]
    fn a_full_sync_is_told_from_others() {
        for (mode, is_full) in
            [(v1::SyncMode::Full, true), (v1::SyncMode::Delta, false), (v1::SyncMode::Current, false)]
        {
            let reply = v1::LoginReply { sync: mode.into(), ..Default::default() };
            let frame = v1::ServerFrame { id: 1, login_reply: Some(reply.into()), ..Default::default() };
            for encoding in Encoding::ALL {
                let mut payload = Vec::new();
                encoding.encode(&frame, &mut payload);
                assert_eq!(is_full_sync(encoding, &payload), Ok(is_full), "{encoding:?}");
            }
        }
    }

    #[test]
    fn every_frame_of_the_gateway_is_told_by_its_first_bytes() {
        let frame = v1::ServerFrame::default;
        let user = v1::User { account: "ann".into(), nick: "error loginReply".into(), ..Default::default() };
        let kinds = [
            (FrameKind::Heartbeat, frame()),
            (
                FrameKind::Changes,
                v1::ServerFrame {
                    changes: Some(v1::Changes { users: vec![user], ..Default::default() }.into()),
                    ..frame()
                },
            ),
            (FrameKind::LoginReply, v1::ServerFrame { id: 1, login_reply: Some(Box::default()), ..frame() }),
            (FrameKind::Reply, v1::ServerFrame { id: 300, update_my_info_reply: Some(Box::default()), ..frame() }),
            (FrameKind::Refused, v1::ServerFrame { id: 200_000, error: Some(v1::Error::default()), ..frame() }),
            (FrameKind::Refused, v1::ServerFrame { error: Some(v1::Error::default()), ..frame() }),
            (FrameKind::Synced, v1::ServerFrame { synced: Some(v1::Synced::default()), ..frame() }),
            (FrameKind::Goodbye, v1::ServerFrame { goodbye: Some(v1::Goodbye::default()), ..frame() }),
            (FrameKind::Presence, v1::ServerFrame { presence: Some(v1::PresenceChanges::default()), ..frame() }),
            (FrameKind::Aside, v1::ServerFrame { sessions: Some(v1::Sessions::default()), ..frame() }),
        ];
        for encoding in Encoding::ALL {
            for (expected, frame) in &kinds {
                let mut payload = Vec::new();
                encoding.encode(frame, &mut payload);
                assert_eq!(kind(encoding, &payload), *expected, "{encoding:?} {frame:?}");
            }
        }
    }
}
