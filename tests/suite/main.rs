//! The integration tests, one module for each thing under test, in one binary so that they link once.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(clippy::float_cmp, clippy::cast_sign_loss, reason = "the metrics that are compared count, in whole numbers")]
#![allow(unreachable_pub, reason = "what tests share is public to them all, and nobody is outside")]

mod api;
mod auth;
mod bad_input;
mod catch_up;
mod cli;
mod conformance;
mod converge;
mod durability;
mod frames;
mod import;
mod live;
mod pages;
mod raw;
mod repair;
mod shutdown;
mod slow;
mod store;
mod store_trouble;
mod story;
mod support;
mod terminal;
mod websocket;
