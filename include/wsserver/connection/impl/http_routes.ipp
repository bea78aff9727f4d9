#pragma once

#include "wsserver/connection/http/routes.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/handler_chooser.hpp"
#include "wsserver/connection/item_hub.hpp"
#include "wsserver/handshake/detail/http_text.hpp"
#include "wsserver/scheduling/detail/waiting_task.hpp"
#include "wsserver/scheduling/task.hpp"

namespace wsserver {

namespace {

class HubHttpTicket final : public detail::HttpTicket {
   public:
    HubHttpTicket(const SendQueueLimits& limits, std::shared_ptr<ItemHub> hub, ConnectionId id) noexcept
        : HttpTicket(limits), hub_(std::move(hub)), id_(id) {}

   private:
    SendStatus wake() override { return hub_->serve_http(id_); }

    const std::shared_ptr<ItemHub> hub_;
    const ConnectionId id_;
};

HttpResponse too_busy() {
    return {.status = 503, .fields = {{"Retry-After", "1"}}, .body = "too many requests wait\n"};
}

std::string words_of(const HttpRequest& request) { return request.method + ' ' + request.target; }

/// What a function of the program threw; nothing if it threw nothing.
template <class F>
std::optional<std::string> thrown_by(F&& f) {
    try {
        f();
        return std::nullopt;
    } catch (const std::exception& exception) {
        return std::string{"it threw: "}.append(exception.what());
    } catch (...) {
        return "it threw an exception that is not a std::exception";
    }
}

}  // namespace

HttpRoutes::HttpRoutes(std::shared_ptr<ItemHub> hub, std::shared_ptr<ChooserServer> server) noexcept
    : hub_(std::move(hub)), server_(std::move(server)) {}

HttpRoutes::~HttpRoutes() = default;

void HttpRoutes::add(std::string_view method, std::string_view pattern, decltype(Route::function) function,
                     HttpRouteOptions options) {
    auto parsed = PathPattern::parse(pattern);
    if (!parsed) throw std::invalid_argument(parsed.error());
    const bool is_method = http_text::is_token(method) && method != "CONNECT" &&
                           std::ranges::none_of(method, [](char c) { return c >= 'a' && c <= 'z'; });
    if (!is_method) {
        throw std::invalid_argument("method '" + escape_control(http_text::shortened(method)) +
                                    "': use one such as GET, in upper case");
    }
    if (function.index() != 0 && options.runs == Runs::pooled) {
        throw std::invalid_argument("only a function that returns its answer runs on a worker");
    }
    if (function.index() == 2 && options.max_body) {
        throw std::invalid_argument("a body that is received in pieces has no max_body");
    }
    std::shared_ptr<const PathPattern> shared;
    const auto place = std::ranges::find_if(
        routes_, [&](const Route& route) { return !route.pattern->is_more_specific_than(*parsed); });
    auto same = place;
    for (; same != routes_.end() && same->pattern->matches_same_paths_as(*parsed); ++same) {
        if (*same->pattern != *parsed) {
            throw std::invalid_argument("path pattern '" + escape_control(pattern) + "': '" +
                                        escape_control(same->pattern->text()) +
                                        "' matches the same paths; use the same names");
        }
        shared = same->pattern;
        if (same->method != method) continue;
        same->function = std::move(function);
        same->options = options;
        return;
    }
    if (!shared) shared = std::make_shared<const PathPattern>(*std::move(parsed));
    routes_.insert(same, Route{std::string{method}, std::move(shared), std::move(function), options});
}

const HttpRoutes::Route* HttpRoutes::find(std::string_view method, std::string_view target) const {
    const bool is_head = method == "HEAD";
    const PathPattern* mismatch = nullptr;
    const Route* for_get = nullptr;  // answers HEAD, unless a route of the same pattern does
    for (const Route& route : routes_) {
        if (for_get != nullptr && route.pattern != for_get->pattern) break;
        if (route.method != method && !(is_head && route.method == "GET")) continue;
        if (route.pattern.get() == mismatch) continue;
        if (!route.pattern->matches(target)) {
            mismatch = route.pattern.get();
            continue;
        }
        if (route.method == method) return &route;
        for_get = &route;
    }
    return for_get;
}

std::string HttpRoutes::allowed(std::string_view target) const {
    std::vector<std::string_view> methods;
    const auto add_once = [&](std::string_view method) {
        if (std::ranges::find(methods, method) == methods.end()) methods.push_back(method);
    };
    for (const Route& route : routes_) {
        if (target != "*" && !route.pattern->matches(target)) continue;
        add_once(route.method);
        if (route.method == "GET") add_once("HEAD");
    }
    if (methods.empty()) return {};
    add_once("OPTIONS");
    std::ranges::sort(methods);
    std::string list;
    for (const std::string_view method : methods) (list += list.empty() ? "" : ", ") += method;
    return list;
}

/// Calls the program through the server. Returns why it has no answer.
template <class F>
std::optional<std::string> HttpRoutes::failure_of(F&& f) const {
    bool called = false;
    auto thrown = thrown_by([&] { called = server_->call(f); });
    if (thrown || called) return thrown;
    return "the server has stopped";
}

HttpResponse HttpRoutes::failed(const std::string& what, std::string_view why) const {
    server_->log_failure((what + " failed: ").append(why));
    return {.status = 500, .fields = {}, .body = "the server failed to answer\n"};
}

HttpRoutes::Outcome HttpRoutes::ask(const Route& route, RoutedRequest& request, ConnectionId id,
                                    const SendQueueLimits& limits) const {
    if (const auto* answer = std::get_if<0>(&route.function)) {
        if (route.asks_worker()) return ask_on_worker(route, request, id, limits);
        HttpResponse response;
        if (const auto why = failure_of([&] { response = (**answer)(request); })) {
            return failed(words_of(request.request()), *why);
        }
        return response;
    }
    auto ticket = std::make_shared<HubHttpTicket>(limits, hub_, id);
    // If the function throws, the reply that it got is destroyed, which answers, too. The text here says more.
    const auto why = failure_of([&] {
        if (const auto* later = std::get_if<1>(&route.function)) return (*later)(request, HttpReply{ticket});
        std::get<2>(route.function)(request, HttpUpload{ticket}, HttpReply{ticket});
    });
    if (!why) return ticket;
    if (auto taker = ticket->void_it(true).second) call([&] { taker({.is_gone = true}); });
    return failed(words_of(request.request()), *why);
}

HttpRoutes::Outcome HttpRoutes::ask_on_worker(const Route& route, RoutedRequest& request, ConnectionId id,
                                              const SendQueueLimits& limits) const {
    if (waiting_->load(std::memory_order_relaxed) >= most_waiting) return too_busy();
    auto ticket = std::make_shared<HubHttpTicket>(limits, hub_, id);
    const TaskName name{route.pattern->text()};
    ticket->ask(std::move(request));
    const bool runs = server_->run_on_worker(
        name, [answer = std::get<0>(route.function), server = std::shared_ptr<ProgramCaller>(server_), ticket,
               reply = HttpReply{ticket}, waiting = detail::WaitingTask{waiting_}]() mutable {
            const auto question = ticket->take_question();
            if (!question) return;  // a worker was free too late
            HttpResponse response;
            bool called = false;
            const auto why = thrown_by([&] { called = server->call([&] { response = (*answer)(*question); }); });
            if (why) (void)reply.fail(*why);
            if (!why && called) (void)reply(std::move(response));
        });
    if (!runs) return too_busy();
    return ticket;
}

void HttpRoutes::call(const std::function<void()>& f) const noexcept {
    const auto thrown = [&]() -> std::optional<std::string> {
        try {
            return thrown_by([&] { (void)server_->call(f); });
        } catch (...) {
            return std::nullopt;  // there is no memory for the text
        }
    }();
    if (thrown) (void)within_memory([&] { server_->log_failure("a function of an HTTP answer failed: " + *thrown); });
}

}  // namespace wsserver
