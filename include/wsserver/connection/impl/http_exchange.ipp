#pragma once

#include "wsserver/connection/http/exchange.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <variant>

namespace wsserver {

namespace {

/// A longer body of an answer is sent by reference, a shorter one is copied next to its header.
constexpr std::size_t copied_body = std::size_t{16} << 10;

/// Memory for the bodies of further requests that a connection may keep.
constexpr std::size_t kept_body = 4096;

HttpResponse text_response(unsigned status, std::string_view text) {
    HttpResponse response;
    response.status = status;
    response.body = text;
    return response;
}

/// False for an interim response, after which the client waits for another one (RFC 9110 §15.2).
bool is_final(unsigned status) noexcept { return status >= 200 && status <= 999; }

}  // namespace

std::size_t HttpExchange::max_body(HttpCarrier& carrier) const {
    return std::min(route_->options.max_body.value_or(server_.options.http.max_body), carrier.longest_body());
}

HttpExchange::Next HttpExchange::refuse(Errc error, std::string_view text) {
    refusal_ = {error, text};
    abandon();
    return Next::refuse;
}

HttpExchange::Next HttpExchange::begin(ServerHandshake::Plain&& plain, std::optional<Errc> turned_away,
                                       HttpCarrier& carrier) {
    ++requests_;
    request_.request_ = std::move(plain.request);
    request_.body_.clear();
    const HttpRequest& request = request_.request_;
    method_is_head_ = request.method == "HEAD";
    is_http_10_ = request.version < 11;
    const std::size_t most = server_.options.http.max_requests;
    keeps_alive_ = plain.keeps_alive && !turned_away && (most == 0 || requests_ < most);
    expects_continue_ = plain.expects_continue;
    body_ = BodyReader{plain.body, server_.options.handshake};
    body_ended_ = plain.body.is_empty();
    route_ = server_.routes.find(request.method, request.target);
    if (route_ == nullptr) return answer_unrouted(carrier);
    if (turned_away && (!route_->answers_at_once() || !body_ended_)) return refuse(*turned_away);
    request_.pattern_ = route_->pattern;
    if (route_->takes_pieces() || body_ended_) return ask(carrier);
    const std::size_t longest = max_body(carrier);
    if (plain.body.length > longest) return refuse(Errc::body_too_large);
    longest_body_ = plain.body.is_chunked ? longest : static_cast<std::size_t>(plain.body.length);
    if (std::exchange(expects_continue_, false)) carrier.send("HTTP/1.1 100 Continue\r\n\r\n");
    state_ = State::body;
    return Next::body;
}

/// No route has the method and the path.
HttpExchange::Next HttpExchange::answer_unrouted(HttpCarrier& carrier) {
    const HttpRequest& request = request_.request_;
    const bool is_get = method_is_head_ || request.method == "GET";
    if (is_get) {
        if (auto response = carrier.answer(request)) return respond(*std::move(response), carrier);
    }
    const std::string allowed = server_.routes.allowed(request.target);
    HttpResponse response;
    if (allowed.empty()) {
        response = text_response(404, "nothing is at this path\n");
    } else if (request.method == "OPTIONS") {
        response = text_response(204, {});
    } else {
        response = text_response(405, "this path does not have this method\n");
    }
    if (!allowed.empty()) response.fields.push_back({"Allow", allowed});
    if (response.status != 204) server_.counts.http_unrouted.add();
    return respond_with(std::move(response), carrier);
}

HttpExchange::Next HttpExchange::ask(HttpCarrier& carrier) {
    state_ = route_->takes_pieces() ? State::upload : State::program;
    const bool moves = route_->asks_worker();  // the request is the worker's then
    std::string peer = moves ? request_.peer_ : std::string{};
    std::string target = moves ? request_.request_.target : std::string{};
    auto outcome = server_.routes.ask(*route_, request_, id_, server_.options.send_queue);
    if (moves) {
        request_.peer_ = std::move(peer);
        request_.request_.target = std::move(target);
    }
    if (auto* response = std::get_if<HttpResponse>(&outcome)) return respond(std::move(*response), carrier);
    ticket_ = std::get<std::shared_ptr<detail::HttpTicket>>(std::move(outcome));
    return serve(carrier);
}

// --- Body ---

HttpExchange::Next HttpExchange::receive(Bytes& input, HttpCarrier& carrier) {
    return state_ == State::upload ? read_piece(input, carrier) : read_whole(input, carrier);
}

HttpExchange::Next HttpExchange::read_whole(Bytes& input, HttpCarrier& carrier) {
    for (;;) {
        const auto step = body_.next(input);
        if (std::holds_alternative<BodyReader::NeedMore>(step)) return Next::body;
        if (const auto* wrong = std::get_if<BodyReader::Malformed>(&step)) {
            return refuse(Errc::malformed_body, wrong->text);
        }
        if (std::holds_alternative<BodyReader::End>(step)) break;
        const Bytes data = std::get<BodyReader::Data>(step).bytes;
        const std::size_t longest = max_body(carrier);
        if (data.size() > longest - std::min(longest, request_.body_.size())) return refuse(Errc::body_too_large);
        make_room(data.size());
        request_.body_.append(text_of(data));
        keep_charge();
    }
    body_ended_ = true;
    return ask(carrier);
}

/// Doubles the memory for the body, but not beyond what the body can need. reserve() of a longer string would double it
/// in any case.
void HttpExchange::make_room(std::size_t bytes) {
    std::string& body = request_.body_;
    const std::size_t needed = body.size() + bytes;
    if (needed <= body.capacity()) return;
    std::string larger;
    larger.reserve(std::max(needed, std::min(2 * body.capacity(), longest_body_)));
    body.swap(larger.append(body));
}

/// Passes at most one piece on. The program may ask for another one within that call.
HttpExchange::Next HttpExchange::read_piece(Bytes& input, HttpCarrier& carrier) {
    if (!taker_) return Next::program;
    const auto step = body_.next(input);
    if (std::holds_alternative<BodyReader::NeedMore>(step)) return Next::body;
    if (const auto* wrong = std::get_if<BodyReader::Malformed>(&step)) {
        return refuse(Errc::malformed_body, wrong->text);
    }
    HttpPiece piece;
    if (const auto* data = std::get_if<BodyReader::Data>(&step)) piece.bytes = text_of(data->bytes);
    body_ended_ = piece.is_last = body_.has_ended();
    pass_on(std::move(piece));
    return serve(carrier);
}

void HttpExchange::pass_on(HttpPiece&& piece) {
    auto taker = std::move(taker_);
    if (ticket_) ticket_->begin_call(piece);
    server_.routes.call([&] { taker(std::move(piece)); });
}

// --- Answer ---

HttpExchange::Next HttpExchange::serve(HttpCarrier& carrier) {
    if (state_ == State::body) return Next::body;  // woken for an earlier request
    while (ticket_) {
        auto asked = ticket_->take();
        if (asked.take_piece) taker_ = std::move(asked.take_piece);
        if (asked.failure) {
            auto response = server_.routes.failed(described(), *asked.failure);
            return respond(std::move(response), carrier);
        }
        if (asked.response && (!asked.streams || !is_final(asked.response->status)))
            return respond(*std::move(asked.response), carrier);
        if (asked.response) begin_stream(*std::move(asked.response), asked.length, carrier);
        if (streams_ && !send_part(std::move(asked.bytes), carrier)) return Next::cut;
        if (asked.ended) return end_stream(carrier);
        if (asked.aborted) return Next::cut;
        if (!taker_) return Next::program;
        if (state_ == State::upload && !body_ended_) {
            const bool must_tell = std::exchange(expects_continue_, false) && !streams_;
            if (must_tell) carrier.send("HTTP/1.1 100 Continue\r\n\r\n");
            return Next::body;
        }
        pass_on({.is_last = true});  // there is no body
    }
    return Next::program;
}

/// The answer of the program.
HttpExchange::Next HttpExchange::respond(HttpResponse&& response, HttpCarrier& carrier) {
    if (!is_final(response.status)) {
        response = server_.routes.failed(described(), "it answered with the status " + std::to_string(response.status));
    }
    server_.counts.http_answered.add();
    return respond_with(std::move(response), carrier);
}

HttpExchange::Next HttpExchange::respond_with(HttpResponse&& response, HttpCarrier& carrier) {
    if (!body_ended_) keeps_alive_ = false;  // what follows is still the body
    const bool bodyless = has_no_body(response.status);
    ResponseFraming framing{.stream = stream_after()};
    if (!bodyless) {
        framing.body = ResponseFraming::Body::length;
        framing.length = response.body.size();
    }
    out_.clear();
    append_response_head(out_, response, framing, server_.name, carrier.date());
    const bool sends_body = !bodyless && !method_is_head_;
    if (sends_body && response.body.size() <= copied_body) out_ += response.body;
    carrier.send(out_);
    if (sends_body && response.body.size() > copied_body) carrier.send_long(std::move(response.body));
    return finish();
}

ResponseFraming::Stream HttpExchange::stream_after() const noexcept {
    using Stream = ResponseFraming::Stream;
    if (!keeps_alive_) return Stream::close;
    return is_http_10_ ? Stream::say_keep : Stream::keep;
}

void HttpExchange::begin_stream(HttpResponse&& head, std::optional<std::uint64_t> length, HttpCarrier& carrier) {
    using Body = ResponseFraming::Body;
    ResponseFraming framing;
    if (!has_no_body(head.status)) {
        framing.body = length ? Body::length : is_http_10_ ? Body::until_close : Body::chunked;
        framing.length = length.value_or(0);
    }
    if (framing.body == Body::until_close) keeps_alive_ = false;
    if (!body_ended_) keeps_alive_ = false;
    framing.stream = stream_after();
    is_chunked_ = framing.body == Body::chunked;
    sends_no_body_ = method_is_head_ || framing.body == Body::none;
    left_ = sends_no_body_ ? std::nullopt : length;
    streams_ = true;
    if (state_ == State::program) state_ = State::stream;
    out_.clear();
    append_response_head(out_, head, framing, server_.name, carrier.date());
    carrier.send(out_);
}

/// Returns false if the program streams more than it said.
bool HttpExchange::send_part(std::string&& bytes, HttpCarrier& carrier) {
    if (bytes.empty() || sends_no_body_) return true;
    if (left_) {
        if (bytes.size() > *left_) {
            (void)server_.routes.failed(described(), "it streamed more bytes than it said");
            return false;
        }
        *left_ -= bytes.size();
    }
    if (is_chunked_) {
        std::array<char, 20> size{};
        char* const end = std::to_chars(size.data(), size.data() + size.size() - 2, bytes.size(), 16).ptr;
        end[0] = '\r';
        end[1] = '\n';
        carrier.send({size.data(), static_cast<std::size_t>(end + 2 - size.data())});
    }
    bytes.size() <= copied_body ? carrier.send(bytes) : carrier.send_long(std::move(bytes));
    if (is_chunked_) carrier.send("\r\n");
    return true;
}

HttpExchange::Next HttpExchange::end_stream(HttpCarrier& carrier) {
    if (left_.value_or(0) > 0) {
        (void)server_.routes.failed(described(), "it streamed fewer bytes than it said");
        return Next::cut;
    }
    if (is_chunked_ && !sends_no_body_) carrier.send("0\r\n\r\n");
    server_.counts.http_answered.add();
    if (!body_ended_) keeps_alive_ = false;
    return finish();
}

/// The answer was sent.
HttpExchange::Next HttpExchange::finish() noexcept {
    const auto ticket = std::exchange(ticket_, nullptr);
    auto taker = std::move(taker_);
    if (ticket) {
        auto [gone, asked_taker] = ticket->void_it(true);
        if (asked_taker) taker = std::move(asked_taker);
    }
    if (taker) server_.routes.call([&] { taker({.is_gone = true}); });
    state_ = State::idle;
    streams_ = false;
    route_ = nullptr;
    left_.reset();
    if (request_.body_.capacity() > kept_body) std::string{}.swap(request_.body_);
    if (out_.capacity() > copied_body) std::string{}.swap(out_);
    charge_.set(0);
    return keeps_alive_ ? Next::next : Next::close;
}

void HttpExchange::note_queued(std::size_t queued) {
    if (!ticket_) return;
    if (const auto drained = ticket_->note_queued(queued)) server_.routes.call([&] { (*drained)(); });
}

void HttpExchange::abandon() noexcept {
    const auto ticket = std::exchange(ticket_, nullptr);
    auto taker = std::move(taker_);
    state_ = State::idle;
    streams_ = false;
    if (ticket) {
        auto [gone, asked_taker] = ticket->void_it(false);
        if (asked_taker) taker = std::move(asked_taker);
        if (gone) server_.routes.call([&, callback = gone.get()] { (*callback)(); });
    }
    if (taker) server_.routes.call([&] { taker({.is_gone = true}); });
}

/// The request, for a log. A worker may have it.
std::string HttpExchange::described() const {
    const HttpRequest& request = request_.request_;
    return (request.method.empty() ? route_->method : request.method) + ' ' + request.target;
}

void HttpExchange::keep_charge() { charge_.set(request_.body_.capacity()); }

}  // namespace wsserver
