//! Frames of a client in both encodings: a command that is decoded is the same after encoding and decoding again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rosterd_protocol::{ClientCommand, Encoding, Inbound, v1};

fuzz_target!(|data: &[u8]| {
    let Some((first, payload)) = data.split_first() else { return };
    let encoding = Encoding::ALL[usize::from(first & 1)];
    let Ok(Inbound::Command { id, command }) = rosterd_protocol::decode(encoding, payload) else { return };
    for other in Encoding::ALL {
        // JSON has no word for an unknown gender.
        if other == encoding || has_a_known_gender(&command) {
            let mut written = Vec::new();
            other.encode(&command.clone().frame(id), &mut written);
            assert_eq!(
                rosterd_protocol::decode(other, &written),
                Ok(Inbound::Command { id, command: command.clone() })
            );
        }
    }
    // Checking the fields of a profile must not panic, whatever they are.
    if let ClientCommand::UpdateMyInfo(update) = command {
        let _ = rosterd_protocol::fields(update).map(|fields| fields.check());
    }
});

fn has_a_known_gender(command: &ClientCommand) -> bool {
    let ClientCommand::UpdateMyInfo(update) = command else { return true };
    update.gender.is_none_or(|gender| v1::Gender::try_from(gender).is_ok())
}
