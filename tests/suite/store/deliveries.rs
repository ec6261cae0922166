//! Checks what every store must keep of deliveries to endpoints.

use rosterd::store::{DEAD_LETTERS, DeadLetter};
use rosterd_engine::model::{FeedPosition, LogHistory};
use rosterd_engine::sync::delivery::{DeliveryState, EventKey, KeptDelivery};

use super::Place;

on_every_store! {
    a_delivery_is_kept_as_it_was_put
    dead_letters_are_listed_in_order_and_have_a_bound
    a_dead_letter_of_presence_is_told_from_one_of_a_change
    forgotten_deliveries_are_those_of_no_name
}

fn kept(revision: u64, index: Option<u32>) -> KeptDelivery {
    KeptDelivery {
        position: FeedPosition { history: LogHistory(u64::MAX - 7), revision, index, seen: revision + 5 },
        state: DeliveryState::Held,
        since: 5,
        failures: 3,
        failing_since: 4,
    }
}

fn dead(revision: u64, index: u32) -> DeadLetter {
    DeadLetter { event: EventKey::Change { revision, index }, time: revision + 1, status: 422 }
}

async fn a_delivery_is_kept_as_it_was_put(place: Place) {
    let db = place.open();
    assert_eq!(db.deliveries.delivery("crm".into()).await.unwrap(), None);
    for (revision, index) in [(7, Some(2)), (8, None), (3, Some(0))] {
        db.deliveries.put_delivery("crm".into(), kept(revision, index), None).await.unwrap();
        assert_eq!(db.deliveries.delivery("crm".into()).await.unwrap(), Some(kept(revision, index)));
    }
    assert_eq!(db.deliveries.delivery("other".into()).await.unwrap(), None);
    db.close().await;
}

async fn dead_letters_are_listed_in_order_and_have_a_bound(place: Place) {
    let db = place.open();
    for event in [dead(9, 0), dead(7, 1), dead(7, 0)] {
        db.deliveries.put_delivery("crm".into(), kept(9, None), Some(event)).await.unwrap();
    }
    let letters = |after, limit| db.deliveries.dead_letters("crm".into(), after, limit);
    assert_eq!(letters(None, 10).await.unwrap(), [dead(7, 0), dead(7, 1), dead(9, 0)]);
    assert_eq!(letters(Some(dead(7, 0).event), 1).await.unwrap(), [dead(7, 1)]);
    let remove = |event: DeadLetter| db.deliveries.remove_dead_letter("crm".into(), event.event);
    assert!(remove(dead(7, 1)).await.unwrap() && !remove(dead(7, 1)).await.unwrap());
    assert_eq!(db.deliveries.count_dead_letters("crm".into()).await.unwrap(), 2);
    assert_eq!(db.deliveries.count_dead_letters("other".into()).await.unwrap(), 0);
    for revision in 0..DEAD_LETTERS as u64 {
        db.deliveries.put_delivery("many".into(), kept(9, None), Some(dead(revision, 0))).await.unwrap();
    }
    db.deliveries.put_delivery("many".into(), kept(9, None), Some(dead(1_000_000, 0))).await.unwrap();
    assert_eq!(db.deliveries.count_dead_letters("many".into()).await.unwrap(), DEAD_LETTERS as u64);
    assert_eq!(db.deliveries.dead_letters("many".into(), None, 1).await.unwrap(), [dead(1, 0)]);
    assert_eq!(db.deliveries.count_dead_letters("crm".into()).await.unwrap(), 2);
    db.close().await;
}

async fn a_dead_letter_of_presence_is_told_from_one_of_a_change(place: Place) {
    let db = place.open();
    let presence = |seen| DeadLetter { event: EventKey::Presence(seen), time: 9, status: 400 };
    for event in [presence(7), dead(7, 0), presence(3), dead(9, 1)] {
        db.deliveries.put_delivery("crm".into(), kept(9, None), Some(event)).await.unwrap();
    }
    let letters = |after, limit| db.deliveries.dead_letters("crm".into(), after, limit);
    let all = [dead(7, 0), dead(9, 1), presence(3), presence(7)];
    assert_eq!(letters(None, 10).await.unwrap(), all);
    for (at, letter) in all.iter().enumerate() {
        assert_eq!(letters(Some(letter.event), 10).await.unwrap(), all[at + 1..], "{letter:?}");
    }
    let remove = |event| db.deliveries.remove_dead_letter("crm".into(), event);
    assert!(remove(EventKey::Presence(7)).await.unwrap() && !remove(EventKey::Presence(7)).await.unwrap());
    assert_eq!(letters(None, 10).await.unwrap(), all[..3]);
    db.close().await;
}

async fn forgotten_deliveries_are_those_of_no_name(place: Place) {
    let db = place.open();
    for (time, name) in [(1000, "old"), (1000, "known"), (2000, "new")] {
        place.at(time);
        db.deliveries.put_delivery(name.into(), kept(9, None), Some(dead(1, 0))).await.unwrap();
    }
    db.deliveries.forget_deliveries(vec!["known".into()], 2000).await.unwrap();
    for (name, is_there) in [("old", false), ("known", true), ("new", true)] {
        assert_eq!(db.deliveries.delivery(name.into()).await.unwrap().is_some(), is_there, "{name}");
        let count = db.deliveries.count_dead_letters(name.into()).await.unwrap();
        assert_eq!(count, u64::from(is_there), "{name}");
    }
    db.close().await;
}
