//! What commands set, and whether what is held shows it: how a command whose answer was lost is settled.
//!
//! `docs/protocol.md`, "Commands whose answer was lost", has the rule.

use rosterd_protocol::{ClientCommand, v1};

use crate::Replica;

/// The name of the own profile among the records that commands set.
pub(super) const ME: &str = "me";

/// Returns the name of the record that a command sets, if a repetition can be made to rest on its version.
///
/// A change of the own profile that names a version itself is not repeated.
pub(super) fn key(command: &ClientCommand) -> Option<String> {
    Some(match command {
        ClientCommand::UpdateMyInfo(update) if update.if_version.is_none() => ME.to_owned(),
        ClientCommand::SetMuted(set) if set.if_version.is_none() => ME.to_owned(),
        ClientCommand::UpdateFriend(update) => format!("friend {}", update.account),
        ClientCommand::Block(v1::Block { account, .. }) | ClientCommand::Unblock(v1::Unblock { account, .. }) => {
            format!("block {account}")
        }
        ClientCommand::SetPresence(_) => "presence".to_owned(),
        _ => return None,
    })
}

/// Returns whether sending a command twice does no harm.
pub(super) fn is_repeatable(command: &ClientCommand) -> bool {
    use ClientCommand::{GetSchema, GetSessions, GetUsers, Watch};
    matches!(command, GetUsers(_) | GetSessions(_) | GetSchema(_) | Watch(_))
}

/// Returns the version of the record that a command sets; `None` if there is none, and the command makes none.
pub(super) fn version(command: &ClientCommand, account: &str, replica: &Replica) -> Option<u64> {
    match command {
        ClientCommand::UpdateMyInfo(_) | ClientCommand::SetMuted(_) => replica.me().map(|me| me.version),
        ClientCommand::UpdateFriend(update) => replica.friends().get(&update.account).map(|friend| friend.version),
        ClientCommand::Block(v1::Block { account, .. }) | ClientCommand::Unblock(v1::Unblock { account, .. }) => {
            Some(replica.block_version(account))
        }
        ClientCommand::SetPresence(_) => Some(replica.presence().get(account).and_then(|own| own.version).unwrap_or(0)),
        _ => None,
    }
}

/// Returns the command as it is sent again: only for this version of its record.
pub(super) fn resting_on(command: &ClientCommand, base: Option<u64>) -> ClientCommand {
    let mut command = command.clone();
    match &mut command {
        ClientCommand::UpdateMyInfo(update) => update.if_version = base,
        ClientCommand::SetMuted(set) => set.if_version = base,
        ClientCommand::UpdateFriend(update) => update.if_version = base,
        ClientCommand::Block(block) => block.if_version = base,
        ClientCommand::Unblock(unblock) => unblock.if_version = base,
        ClientCommand::SetPresence(set) => set.if_version = base,
        _ => {}
    }
    command
}

/// Returns whether what is held is what a command sets.
pub(super) fn is_shown(command: &ClientCommand, account: &str, replica: &Replica) -> bool {
    let is_friend = |account: &String| replica.friends().contains_key(account);
    let is_open = |account: &String, direction: v1::Direction| {
        replica.requests().any(|request| request.account == *account && request.direction == direction as i32)
    };
    match command {
        ClientCommand::UpdateMyInfo(update) => replica.me().is_some_and(|me| has_fields(me, update)),
        ClientCommand::SetMuted(set) => replica.me().is_some_and(|me| me.muted.contains(&set.account) == set.muted),
        ClientCommand::UpdateFriend(update) => replica.friends().get(&update.account).is_some_and(|friend| {
            update.alias.as_ref().is_none_or(|alias| *alias == friend.alias)
                && update.custom.as_ref().is_none_or(|custom| *custom == friend.custom)
        }),
        ClientCommand::Block(block) => replica.blocks().any(|held| held.account == block.account),
        ClientCommand::Unblock(unblock) => !replica.blocks().any(|held| held.account == unblock.account),
        ClientCommand::SetPresence(set) => {
            let own = replica.presence().get(account);
            let hides = own.and_then(|own| own.invisible).unwrap_or(false);
            let (status, until) = own.map_or((None, None), |own| (own.status.as_deref(), own.until));
            set.invisible.is_none_or(|invisible| invisible == hides)
                && set.status.as_ref().is_none_or(|set_to| set_to == status.unwrap_or_default() && set.until == until)
        }
        ClientCommand::AddFriend(v1::AddFriend { account, .. })
        | ClientCommand::AcceptFriend(v1::AcceptFriend { account }) => is_friend(account),
        ClientCommand::RequestFriend(v1::RequestFriend { account, .. }) => {
            is_friend(account) || is_open(account, v1::Direction::Out)
        }
        ClientCommand::RejectFriend(v1::RejectFriend { account }) => !is_open(account, v1::Direction::In),
        ClientCommand::CancelRequest(v1::CancelRequest { account }) => !is_open(account, v1::Direction::Out),
        ClientCommand::DeleteFriend(v1::DeleteFriend { account }) => !is_friend(account),
        _ => true,
    }
}

/// Returns whether an answered command has nothing more to wait for: its effect shows, or can show no more.
pub(super) fn is_over(command: &ClientCommand, account: &str, replica: &Replica) -> bool {
    let gone = match command {
        ClientCommand::UpdateFriend(update) => !replica.friends().contains_key(&update.account),
        // The reply has the profile.
        ClientCommand::UpdateMyInfo(_) | ClientCommand::SetMuted(_) => true,
        // Another device may have set the next one already.
        ClientCommand::SetPresence(set) => set.status.is_some(),
        _ => false,
    };
    gone || is_shown(command, account, replica)
}

/// Returns the reply of a command that is in effect, but whose reply was lost.
pub(super) fn lost_reply(command: &ClientCommand, replica: &Replica) -> v1::ServerFrame {
    let (user, mut reply) = (replica.me().cloned(), v1::ServerFrame::default());
    match command {
        ClientCommand::UpdateMyInfo(_) => reply.update_my_info_reply = Some(Box::new(v1::UpdateMyInfoReply { user })),
        ClientCommand::SetMuted(_) => reply.set_muted_reply = Some(Box::new(v1::SetMutedReply { user })),
        _ => {}
    }
    reply
}

fn has_fields(me: &v1::User, update: &v1::UpdateMyInfo) -> bool {
    let same = |held: &String, set: &Option<String>| set.as_ref().is_none_or(|set| set == held);
    same(&me.nick, &update.nick)
        && same(&me.avatar, &update.avatar)
        && same(&me.sign, &update.sign)
        && update.gender.is_none_or(|gender| gender == me.gender)
        && same(&me.email, &update.email)
        && same(&me.birth, &update.birth)
        && same(&me.tel, &update.tel)
        && same(&me.custom, &update.custom)
        && update.fields.iter().all(|(name, value)| match me.fields.get(name) {
            Some(held) => held == value,
            // A value with nothing in it clears a field.
            None => *value == v1::FieldValue::default(),
        })
}

/// Puts a change over a profile, as the gateway will.
pub(super) fn put_over(user: &mut v1::User, update: &v1::UpdateMyInfo) {
    let put = |held: &mut String, set: &Option<String>| set.iter().for_each(|set| held.clone_from(set));
    put(&mut user.nick, &update.nick);
    put(&mut user.avatar, &update.avatar);
    put(&mut user.sign, &update.sign);
    update.gender.iter().for_each(|gender| user.gender = *gender);
    put(&mut user.email, &update.email);
    put(&mut user.birth, &update.birth);
    put(&mut user.tel, &update.tel);
    put(&mut user.custom, &update.custom);
    for (name, value) in &update.fields {
        if *value == v1::FieldValue::default() {
            user.fields.remove(name);
        } else {
            user.fields.insert(name.clone(), value.clone());
        }
    }
}

/// Returns both changes as one: the fields of the later one count.
pub(super) fn put_after(mut before: v1::UpdateMyInfo, after: &v1::UpdateMyInfo) -> v1::UpdateMyInfo {
    let v1::UpdateMyInfo { nick, avatar, sign, gender, email, birth, tel, custom, fields, .. } = after.clone();
    before.fields.extend(fields);
    v1::UpdateMyInfo {
        nick: nick.or(before.nick),
        avatar: avatar.or(before.avatar),
        sign: sign.or(before.sign),
        gender: gender.or(before.gender),
        email: email.or(before.email),
        birth: birth.or(before.birth),
        tel: tel.or(before.tel),
        custom: custom.or(before.custom),
        fields: before.fields,
        if_version: None,
    }
}
