//! Makes room for connections in the limit of open files, or says that there is none.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::start_error::StartError;
use crate::config::Config;

/// The files that a gateway needs besides those of clients: the store, the ops listener and its callers, key sets.
const RESERVE: u64 = 64;

/// Raises the soft limit as far as these connections need and the hard limit allows. Returns how many of them there is room
/// for.
///
/// The default number is as many as there can be, and so may be more than there is room for. Another number is a promise.
///
/// # Errors
/// There is no room for a number that is not the default, or for none at all.
pub(super) fn room_for(connections: usize) -> Result<usize, StartError> {
    let (limit, needed) = (getrlimit(Resource::Nofile), connections as u64 + RESERVE);
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let wanted = needed.min(hard);
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    // A system that does not let it raise the limit has a lower one than it says.
    let files = if wanted > soft && setrlimit(Resource::Nofile, raised).is_ok() { wanted } else { soft };
    room(connections, files)
}

fn room(connections: usize, files: u64) -> Result<usize, StartError> {
    let possible = usize::try_from(files.saturating_sub(RESERVE)).unwrap_or(usize::MAX);
    if possible >= connections {
        return Ok(connections);
    }
    let needed = connections as u64 + RESERVE;
    if possible == 0 || connections != Config::default().limits.connections {
        return Err(StartError(format!(
            "limits.connections is {connections}, which takes {needed} open files, and this process may have {files}: \
             raise its hard limit (LimitNOFILE, ulimit -Hn), or set limits.connections to {} or less",
            possible.max(1)
        )));
    }
    Ok(possible)
}

/// Warns if there is room for fewer connections than the settings name.
pub(super) fn warn_of_lowered(connections: usize, possible: usize) {
    if possible < connections {
        let needed = connections as u64 + RESERVE;
        tracing::warn!(
            connections,
            possible,
            needed,
            "there is no room for limits.connections: further ones are refused; raise the hard limit of open files to what is needed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_lowered_to_what_is_possible_and_another_number_is_refused() {
        let default = Config::default().limits.connections;
        assert_eq!(room(default, 1 << 20).unwrap(), default);
        assert_eq!(room(default, 1024).unwrap(), 1024 - 64);
        assert_eq!(room(1000, 1064).unwrap(), 1000);
        let error = room(1000, 1063).unwrap_err().to_string();
        assert!(error.contains("takes 1064 open files") && error.contains("to 999 or less"), "{error}");
        assert!(room(default, 64).is_err());
    }
}
