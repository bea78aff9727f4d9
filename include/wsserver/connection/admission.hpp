// What a program decides about a client's opening handshake.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wsserver/connection/connection_data.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsserver {

class AnyHandler;

/// A program's decision about an opening handshake. As constructed by default it accepts the client as if the program
/// had no say.
struct Admission {
    /// Refuses the client: it gets this response instead of a 101, and the stream is closed. The other members are
    /// then ignored. A status below 300 or over 999 is a fault of the program: the client gets a 500, and the log says
    /// so.
    std::optional<HttpResponse> refusal{};
    /// One of the subprotocols that the client asks for, or an empty text for none. Without a value, it is the first
    /// one that has a handler. A text that the client does not ask for, or that has no handler while `handler` is null,
    /// is a fault of the program: the client gets a 500, and the log says so. A browser fails a connection without a
    /// subprotocol if it asks for some.
    std::optional<std::string> subprotocol{};
    /// Serves the connection; null: the handler of the subprotocol. It may belong to one client, but give such handlers
    /// few different names: those of pooled handlers are kept as long as the process runs. The last owner destroys it,
    /// perhaps on a reactor's thread.
    std::shared_ptr<AnyHandler> handler{};
    /// More header fields of the 101, such as Set-Cookie. Those that the handshake sets itself are left out.
    std::vector<HttpField> fields{};
    /// The id of the connection's user, 1 to 255 bytes of UTF-8; empty: none. See AnyConnection::user(). Another text
    /// is a fault of the program: the client gets a 500, and the log says so. A client over a limit of its user gets a
    /// 429.
    std::string user{};
    /// What the program knows about the client: the connection owns it, and reactions reach it by
    /// AnyConnection::data(). It may be made on another thread than theirs. See accept().
    std::unique_ptr<ConnectionData> data{};

    /// The decision that accepts the client. Its connection owns `value`.
    template <class T>
    static Admission accept(T value) {
        Admission admission;
        admission.data = ConnectionData::of(std::move(value));
        return admission;
    }
    /// The decision that refuses the client with `response`.
    static Admission refuse(HttpResponse response) {
        Admission admission;
        admission.refusal = std::move(response);
        return admission;
    }
};

}  // namespace wsserver
