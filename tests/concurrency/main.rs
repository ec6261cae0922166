//! Runs the hub's own source on locks that try different thread interleavings.
//!
//! No mark is lost between taking and sleeping, a cursor covers only what was sent, a connection has one writer at a time,
//! and the registry holds exactly what the session handles follow. Each property is tried in random interleavings (PCT,
//! Burckhardt et al. 2010: few changes of thread, where they hurt), and the smallest in all of them up to a number.
#![allow(dead_code, unused_imports, reason = "the rest of the hub, and its tests, come along with its source")]
#![allow(unreachable_pub, missing_docs, clippy::all, clippy::pedantic, reason = "linted where it is part of the crate")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that meets an error has failed, and prints how far it came"
)]

#[path = "../../crates/service/src/hub/mod.rs"]
mod hub;
mod interest;
mod locks;
mod marks;
mod writers;

use rosterd::metrics;

/// How many interleavings of each property are tried.
const ORDERS: usize = 3000;
/// How many changes of thread a PCT run has.
const DEPTH: usize = 3;

fn main() {
    for (name, property) in [
        ("no_mark_is_lost_between_taking_and_sleeping", marks::none_is_lost as fn()),
        ("a_cursor_covers_only_what_was_sent", marks::a_cursor_is_true),
        ("the_end_of_a_session_that_falls_asleep_wakes_it", marks::an_end_wakes),
        ("a_signal_to_a_session_that_falls_asleep_wakes_it", marks::a_signal_wakes),
        ("a_signal_survives_a_flush_that_starts_over", marks::a_signal_survives_a_flush_that_starts_over),
        ("flushers_and_the_task_send_everything_in_order", writers::all_is_sent_in_order),
        ("the_task_sends_what_the_system_refused_a_flusher", writers::the_task_sends_what_is_refused),
        ("the_task_finishes_a_frame_that_a_flusher_began", writers::the_task_finishes_a_frame),
        ("a_task_may_sleep_and_keep_its_write_handle", writers::a_task_may_keep_its_write_handle),
        ("a_signal_during_a_flush_reaches_the_task", writers::a_signal_comes_between),
        ("a_follower_misses_nothing_that_comes_after", interest::none_is_missed),
        ("the_registry_is_empty_once_everyone_has_left", interest::nothing_stays),
    ] {
        shuttle::check_pct(property, ORDERS, DEPTH);
        shuttle::check_random(property, ORDERS);
        println!("test {name} ... ok");
    }
    // Small enough for every interleaving.
    shuttle::check_dfs(marks::smallest, Some(200_000));
    println!("test every_interleaving_of_one_mark_and_one_flush ... ok");
}
