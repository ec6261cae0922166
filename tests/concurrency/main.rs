//! The hub's own source on locks that try the orders in which threads can meet: no mark is lost between taking and
//! sleeping, a cursor promises nothing that was not told, and the index of interest holds what the seats hold.
//!
//! Each property is tried in random orders (PCT, Burckhardt et al. 2010: few changes of thread, where they hurt), and
//! the smallest in all of them up to a number.
#![allow(dead_code, unused_imports, reason = "what the hub has besides, and its tests, come along with its source")]
#![allow(unreachable_pub, missing_docs, clippy::all, clippy::pedantic, reason = "linted where it is part of the crate")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that meets an error has failed, and says how far it came"
)]

#[path = "../../src/hub/mod.rs"]
mod hub;
mod interest;
mod lines;
mod locks;
mod marks;

use rosterd::metrics;

/// How many orders of each property are tried.
const ORDERS: usize = 3000;
/// How many changes of thread a random order has at the places that matter.
const DEPTH: usize = 3;

fn main() {
    for (name, property) in [
        ("no_mark_is_lost_between_taking_and_sleeping", marks::none_is_lost as fn()),
        ("a_cursor_promises_nothing_that_was_not_told", marks::a_cursor_is_true),
        ("who_ends_a_session_that_falls_asleep_wakes_it", marks::an_end_wakes),
        ("a_signal_to_one_that_falls_asleep_wakes_it", marks::a_signal_wakes),
        ("what_tellers_and_the_task_tell_is_all_and_in_order", lines::all_is_told),
        ("what_a_teller_cannot_tell_wakes_the_task", lines::the_task_sees_to_the_rest),
        ("who_follows_misses_nothing_that_comes_after", interest::none_is_missed),
        ("the_index_is_empty_once_everyone_has_left", interest::nothing_stays),
    ] {
        shuttle::check_pct(property, ORDERS, DEPTH);
        shuttle::check_random(property, ORDERS);
        println!("test {name} ... ok");
    }
    // Small enough for every order.
    shuttle::check_dfs(marks::smallest, Some(200_000));
    println!("test every_order_of_one_mark_and_one_drain ... ok");
}
