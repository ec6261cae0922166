//! Serves one connection after its upgrade: log in, catch up, live, close.
//!
//! [`run()`] is that life in a straight line, and [`socket`] its WebSocket; [`flusher`] writes to sessions whose tasks
//! sleep. The service carries out commands, and admission says who may connect.

mod batch;
mod catch_up;
mod commands;
mod context;
mod flush;
mod flusher;
mod fragments;
mod frame_writer;
mod frames;
mod friend_commands;
mod hooked;
mod memory_budget;
mod repair;
mod run;
mod socket;
mod tcp;
mod timers;

pub(crate) use self::context::SessionContext;
pub use self::context::SessionSettings;
pub(crate) use self::flusher::flush_sleeping;
pub(crate) use self::run::run;
pub(crate) use self::socket::websocket;
pub(crate) use self::tcp::TcpConnection;
