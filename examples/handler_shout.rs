//! A handler in Rust: a room where everyone shouts. Each text goes to all others in upper case, with the number of
//! texts that its sender has sent. A reload keeps the numbers.
//!
//!     rustc --edition 2021 -O -C panic=abort --crate-type cdylib handler_shout.rs -o shout.so
//!     wsd --handler shout=./shout.so
//!
//! A panic would leave a function of C, so panic=abort is needed. It ends the server: return 1 instead.

use std::os::raw::{c_char, c_int, c_uchar, c_void};

#[path = "wsserver_handler.rs"]
mod wsserver;
use wsserver::{bytes, Connection, ConnectionId, Handler, Host, State};

/// The object of the handler. Several threads may use it at once.
struct Shout {
    host: &'static Host, // valid until destroy() has returned
}

unsafe extern "C" fn create(host: *const Host, _config: *const c_char) -> *mut c_void {
    let host = &*host;
    if !host.is_complete() {
        let why = "the server is too old";
        (host.set_error)(host, why.as_ptr().cast(), why.len());
        return std::ptr::null_mut();
    }
    Box::into_raw(Box::new(Shout { host })).cast()
}

unsafe extern "C" fn destroy(handler: *mut c_void) {
    drop(Box::from_raw(handler.cast::<Shout>()));
}

unsafe fn object<'a>(handler: *mut c_void) -> &'a Shout {
    &*handler.cast::<Shout>()
}

/// The number of texts of a connection is its user data. Its reactions are called one at a time.
unsafe extern "C" fn on_open(handler: *mut c_void, connection: *mut Connection) -> c_int {
    let number = Box::into_raw(Box::new(0u64));
    (object(handler).host.set_user_data)(connection, number.cast());
    0
}

unsafe extern "C" fn on_text(handler: *mut c_void, connection: *mut Connection, text: *const c_char, size: usize) -> c_int {
    let host = object(handler).host;
    let number = &mut *(host.user_data)(connection).cast::<u64>();
    *number += 1;
    let text = match std::str::from_utf8(bytes(text.cast(), size)) {
        Ok(text) => format!("{}: {}", number, text.to_uppercase()),
        Err(_) => return 1, // cannot happen: the server has checked it
    };
    let sender: ConnectionId = (host.id)(connection);
    let subprotocol = "shout\0".as_ptr().cast();
    (host.broadcast_text)(host, subprotocol, &sender, text.as_ptr().cast(), text.len(), None, std::ptr::null_mut());
    0
}

/// Called exactly once for each connection, unless save_connection() was.
unsafe extern "C" fn on_close(handler: *mut c_void, connection: *mut Connection, _code: u16, _reason: *const c_char,
                              _size: usize) -> c_int {
    drop(Box::from_raw((object(handler).host.user_data)(connection).cast::<u64>()));
    0
}

/// The connection moves to newer code.
unsafe extern "C" fn save_connection(handler: *mut c_void, connection: *mut Connection, state: *mut State) -> c_int {
    let host = object(handler).host;
    let number = Box::from_raw((host.user_data)(connection).cast::<u64>());
    let saved = number.to_le_bytes();
    (host.write_state)(state, 1, saved.as_ptr().cast(), saved.len())
}

/// The connection comes from older code.
unsafe extern "C" fn restore_connection(handler: *mut c_void, connection: *mut Connection, version: u32,
                                        saved: *const c_uchar, size: usize) -> c_int {
    let number = match (version, bytes(saved, size).try_into()) {
        (1, Ok(saved)) => u64::from_le_bytes(saved),
        _ => 0,
    };
    (object(handler).host.set_user_data)(connection, Box::into_raw(Box::new(number)).cast());
    0
}

static TABLE: Handler = Handler {
    create: Some(create),
    destroy: Some(destroy),
    on_open: Some(on_open),
    on_text: Some(on_text),
    on_close: Some(on_close),
    save_connection: Some(save_connection),
    restore_connection: Some(restore_connection),
    ..Handler::new(b"shout\0")
};

#[no_mangle]
pub extern "C" fn wsserver_handler_v1() -> *const Handler {
    &TABLE
}
