//! The C interface of handlers (wsserver/handler.h) for Rust. That header explains each function.
//! Pointers and views are valid until the function returns that they were passed to.
#![allow(dead_code)]

use std::os::raw::{c_char, c_int, c_uchar, c_void};

pub const ABI: u32 = 1;
pub const INLINE: u32 = 0;
pub const POOLED: u32 = 1;
pub const QUEUED: c_int = 0;
pub const DROPPED: c_int = 1;
pub const CLOSED: c_int = 2;
pub const REFUSED: c_int = 3;

#[repr(C)]
pub struct Connection {
    _opaque: [u8; 0],
}
#[repr(C)]
pub struct Upgrade {
    _opaque: [u8; 0],
}
#[repr(C)]
pub struct State {
    _opaque: [u8; 0],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    pub data: *const c_char,
    pub size: usize,
}
impl View {
    /// # Safety
    /// The view must be valid.
    pub unsafe fn bytes(&self) -> &[u8] {
        bytes(self.data.cast(), self.size)
    }
}

/// Bytes that the server has passed.
///
/// # Safety
/// `data` must be valid for `size` bytes, or null.
pub unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    std::slice::from_raw_parts(data, size)
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub reactor: u32,
    pub slot: u32,
    pub generation: u32,
}

#[repr(C)]
pub struct Audience {
    pub size: usize,
    pub subprotocol: *const c_char,
    pub except: *const ConnectionId,
    pub room: View,
    pub user: View,
}

pub type Count = Option<unsafe extern "C" fn(context: *mut c_void, receivers: usize)>;
pub type Call = Option<unsafe extern "C" fn(context: *mut c_void, connection: *mut Connection) -> c_int>;

type C = *mut Connection;
type CC = *const Connection;
type H = *const Host;
type U = *const Upgrade;
type T = *const c_char;
type B = *const c_void;
type Id = ConnectionId;

/// The functions of the server. The first ones are in every server; ask has() for those after `answer`.
#[repr(C)]
pub struct Host {
    pub abi_version: u32,
    pub size: u32,
    pub send_text: unsafe extern "C" fn(C, T, usize) -> c_int,
    pub send_binary: unsafe extern "C" fn(C, B, usize) -> c_int,
    pub ping: unsafe extern "C" fn(C, B, usize) -> c_int,
    pub close: unsafe extern "C" fn(C, u16, T, usize) -> c_int,
    pub id: unsafe extern "C" fn(CC) -> Id,
    pub subprotocol: unsafe extern "C" fn(CC) -> View,
    pub peer: unsafe extern "C" fn(CC) -> View,
    pub target: unsafe extern "C" fn(CC) -> View,
    pub user_data: unsafe extern "C" fn(CC) -> *mut c_void,
    pub set_user_data: unsafe extern "C" fn(C, *mut c_void),
    pub send_text_to: unsafe extern "C" fn(H, Id, T, usize) -> c_int,
    pub send_binary_to: unsafe extern "C" fn(H, Id, B, usize) -> c_int,
    pub ping_to: unsafe extern "C" fn(H, Id, B, usize) -> c_int,
    pub close_to: unsafe extern "C" fn(H, Id, u16, T, usize) -> c_int,
    pub broadcast_text: unsafe extern "C" fn(H, T, *const Id, T, usize, Count, *mut c_void) -> c_int,
    pub broadcast_binary: unsafe extern "C" fn(H, T, *const Id, B, usize, Count, *mut c_void) -> c_int,
    pub ping_all: unsafe extern "C" fn(H, Count, *mut c_void) -> c_int,
    pub close_all: unsafe extern "C" fn(H, u16, T, usize, Count, *mut c_void) -> c_int,
    pub log: unsafe extern "C" fn(H, c_int, T, usize),
    pub set_error: unsafe extern "C" fn(H, T, usize),
    pub answer: unsafe extern "C" fn(H, T, usize),
    // Functions that an older server lacks.
    pub parameter: unsafe extern "C" fn(CC, T, usize) -> View,
    pub upgrade_method: unsafe extern "C" fn(U) -> View,
    pub upgrade_target: unsafe extern "C" fn(U) -> View,
    pub upgrade_peer: unsafe extern "C" fn(U) -> View,
    pub upgrade_subprotocol: unsafe extern "C" fn(U, usize) -> View,
    pub upgrade_field: unsafe extern "C" fn(U, usize, *mut View, *mut View) -> c_int,
    pub upgrade_value: unsafe extern "C" fn(*mut Upgrade, c_int, T, usize) -> View,
    pub upgrade_add_field: unsafe extern "C" fn(*mut Upgrade, T, usize, T, usize) -> c_int,
    pub upgrade_refuse: unsafe extern "C" fn(*mut Upgrade, u32, T, B, usize) -> c_int,
    pub upgrade_set_user: unsafe extern "C" fn(*mut Upgrade, T, usize) -> c_int,
    pub request_field: unsafe extern "C" fn(CC, T, usize) -> View,
    pub join: unsafe extern "C" fn(C, T, usize) -> c_int,
    pub leave: unsafe extern "C" fn(C, T, usize) -> c_int,
    pub room: unsafe extern "C" fn(CC, usize) -> View,
    pub user: unsafe extern "C" fn(CC) -> View,
    pub set_user: unsafe extern "C" fn(C, T, usize) -> c_int,
    pub queued: unsafe extern "C" fn(CC) -> usize,
    pub has_space: unsafe extern "C" fn(C) -> c_int,
    pub send_text_waiting: unsafe extern "C" fn(C, T, usize) -> c_int,
    pub send_binary_waiting: unsafe extern "C" fn(C, B, usize) -> c_int,
    pub pause_receiving: unsafe extern "C" fn(C) -> c_int,
    pub resume_receiving: unsafe extern "C" fn(C) -> c_int,
    pub post: unsafe extern "C" fn(H, Id, u32, Call, *mut c_void) -> c_int,
    pub add_to_room: unsafe extern "C" fn(H, Id, T, usize) -> c_int,
    pub remove_from_room: unsafe extern "C" fn(H, Id, T, usize) -> c_int,
    pub set_user_of: unsafe extern "C" fn(H, Id, T, usize) -> c_int,
    pub queued_of: unsafe extern "C" fn(H, Id) -> usize,
    pub pause_receiving_of: unsafe extern "C" fn(H, Id) -> c_int,
    pub resume_receiving_of: unsafe extern "C" fn(H, Id) -> c_int,
    pub send_text_to_each: unsafe extern "C" fn(H, *const Id, usize, T, usize, Count, *mut c_void) -> c_int,
    pub send_binary_to_each: unsafe extern "C" fn(H, *const Id, usize, B, usize, Count, *mut c_void) -> c_int,
    pub broadcast_text_to: unsafe extern "C" fn(H, *const Audience, T, usize, Count, *mut c_void) -> c_int,
    pub broadcast_binary_to: unsafe extern "C" fn(H, *const Audience, B, usize, Count, *mut c_void) -> c_int,
    pub write_state: unsafe extern "C" fn(*mut State, u32, B, usize) -> c_int,
}
impl Host {
    /// Whether the server is at least as new as this file.
    pub fn is_complete(&self) -> bool {
        self.size as usize >= std::mem::size_of::<Host>()
    }
}

type Self_ = *mut c_void;
type Reaction = Option<unsafe extern "C" fn(Self_, C) -> c_int>;
type BytesReaction = Option<unsafe extern "C" fn(Self_, C, *const c_uchar, usize) -> c_int>;

/// The functions of the handler. `create` must be set.
#[repr(C)]
pub struct Handler {
    pub abi_version: u32,
    pub size: u32,
    pub name: *const c_char,
    pub runs: u32,
    pub create: Option<unsafe extern "C" fn(H, *const c_char) -> *mut c_void>,
    pub destroy: Option<unsafe extern "C" fn(Self_)>,
    pub on_open: Reaction,
    pub on_text: Option<unsafe extern "C" fn(Self_, C, T, usize) -> c_int>,
    pub on_binary: BytesReaction,
    pub on_ping: BytesReaction,
    pub on_pong: BytesReaction,
    pub on_close: Option<unsafe extern "C" fn(Self_, C, u16, T, usize) -> c_int>,
    pub on_command: Option<unsafe extern "C" fn(Self_, *const View, usize, *const c_uchar, usize) -> c_int>,
    pub on_upgrade: Option<unsafe extern "C" fn(Self_, *mut Upgrade) -> c_int>,
    pub on_drained: Reaction,
    pub save_state: Option<unsafe extern "C" fn(Self_, *mut State) -> c_int>,
    pub restore_state: Option<unsafe extern "C" fn(Self_, u32, *const c_uchar, usize) -> c_int>,
    pub save_connection: Option<unsafe extern "C" fn(Self_, C, *mut State) -> c_int>,
    pub restore_connection: Option<unsafe extern "C" fn(Self_, C, u32, *const c_uchar, usize) -> c_int>,
}
// The table is constant, and the server only reads it.
unsafe impl Sync for Handler {}

impl Handler {
    /// A table without reactions.
    pub const fn new(name: &'static [u8]) -> Handler {
        Handler {
            abi_version: ABI,
            size: std::mem::size_of::<Handler>() as u32,
            name: name.as_ptr().cast(),
            runs: INLINE,
            create: None,
            destroy: None,
            on_open: None,
            on_text: None,
            on_binary: None,
            on_ping: None,
            on_pong: None,
            on_close: None,
            on_command: None,
            on_upgrade: None,
            on_drained: None,
            save_state: None,
            restore_state: None,
            save_connection: None,
            restore_connection: None,
        }
    }
}
