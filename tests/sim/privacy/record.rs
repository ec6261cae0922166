//! What the viewers received, and what one can tell from it.

use rosterd_protocol::v1;
use serde_json::Value;

/// How far apart two times may be that are the same but for delays of the network, the disk and the ticks of presence.
const SPREAD: u64 = 300;

/// A frame that a viewer received.
#[derive(Debug, Clone)]
pub struct Seen {
    pub viewer: usize,
    /// The viewer's connections are numbered.
    pub connection: usize,
    /// Milliseconds since the beginning.
    pub at: u64,
    /// The frame without times and session ids.
    pub text: String,
    /// The times in the frame, in order.
    pub times: Vec<u64>,
    /// When the owner was last seen, if the frame says so.
    pub owner: Option<(bool, u64)>,
}

impl Seen {
    pub fn new(viewer: usize, connection: usize, at: u64, frame: &v1::ServerFrame) -> Self {
        let mut value = serde_json::to_value(frame).unwrap();
        let mut times = Vec::new();
        take_times(&mut value, &mut times);
        let mut presences = frame.presence.iter().flat_map(|presence| &presence.users);
        let owner = presences.rfind(|user| user.account == super::world::OWNER);
        let owner = owner.map(|user| (user.online, user.last_seen));
        Self { viewer, connection, at, text: value.to_string(), times, owner }
    }
}

fn take_times(value: &mut Value, times: &mut Vec<u64>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                let is_time =
                    ["lastSeen", "updateTime", "createTime", "serverTime", "connectedAt"].contains(&key.as_str());
                if is_time {
                    times.push(value.as_u64().unwrap_or_default());
                    *value = Value::Null;
                } else if key == "session" {
                    *value = Value::Null;
                } else {
                    take_times(value, times);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| take_times(value, times)),
        _ => {}
    }
}

/// Describes the first difference that a viewer could see.
pub fn difference(plain: &[Seen], secret: &[Seen]) -> Option<String> {
    for viewer in 0..2 {
        let of = |seen: &[Seen]| {
            let mut seen: Vec<_> = seen.iter().filter(|seen| seen.viewer == viewer).cloned().collect();
            // What two connections receive at about the same time has no order.
            seen.sort_by_key(|seen| seen.connection);
            seen
        };
        let (plain, secret) = (of(plain), of(secret));
        let same = |(a, b): &(&Seen, &Seen)| {
            let near = |a: u64, b: u64| a.abs_diff(b) <= SPREAD;
            let times = a.times.len() == b.times.len() && a.times.iter().zip(&b.times).all(|(a, b)| near(*a, *b));
            (a.connection, &a.text) == (b.connection, &b.text) && near(a.at, b.at) && times
        };
        let at = plain.iter().zip(&secret).take_while(same).count();
        if at < plain.len().max(secret.len()) {
            let (plain, secret) = (plain.get(at), secret.get(at));
            return Some(format!("viewer {viewer} sees at frame {at}\n{plain:#?}\nand with the secret\n{secret:#?}"));
        }
    }
    None
}

/// What a viewer can notice, as words: each frame with its order, how long after the one before it came, how long after the
/// times in it, and how often each came.
pub fn features(seen: &[Seen]) -> Vec<String> {
    let mut words = Vec::new();
    for viewer in 0..2 {
        let frames: Vec<_> = seen.iter().filter(|seen| seen.viewer == viewer).collect();
        let mut before: Option<&Seen> = None;
        let mut kinds: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
        for frame in frames {
            // Numbers differ from history to history, so what is left of the text is its form.
            let form: String = frame.text.chars().filter(|letter| !letter.is_ascii_digit()).take(160).collect();
            if let Some(before) = before {
                let earlier: String = before.text.chars().filter(|letter| !letter.is_ascii_digit()).take(40).collect();
                words.push(format!("{viewer} {earlier} then {form}"));
                words.push(format!("{viewer} {form} {} after", (frame.at - before.at) / 100));
            }
            if let Some((online, last_seen)) = frame.owner {
                let age = (super::world::EPOCH as u64 + frame.at).saturating_sub(last_seen);
                words.push(format!("{viewer} {} owner online: {online}, for {}", frame.connection, age.min(3000) / 50));
                words.push(format!("{viewer} owner since {}", u64::from(last_seen > 0)));
            }
            words.extend(frame.times.windows(2).map(|times| {
                format!("{viewer} times {:?}", (times[0].cmp(&times[1]), times[0].abs_diff(times[1]).min(3000) / 100))
            }));
            *kinds.entry(form).or_default() += 1;
            before = Some(frame);
        }
        words.extend(kinds.into_iter().map(|(form, times)| format!("{viewer} {times} × {form}")));
    }
    words.sort();
    words.dedup();
    words
}
