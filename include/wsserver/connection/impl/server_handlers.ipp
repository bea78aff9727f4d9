#pragma once

#include "wsserver/connection/server_handlers.hpp"

#include <optional>

#include "wsserver/connection/handler_chooser.hpp"
#include "wsserver/connection/served_call.hpp"

namespace wsserver {

void ServerHandlers::handle(std::string subprotocol, std::shared_ptr<AnyHandler> handler) {
    chooser().handlers().set(std::move(subprotocol), adopted(std::move(handler)));
}

bool ServerHandlers::remove_handler(std::string_view subprotocol, CloseCode code) {
    return close(chooser().handlers().remove(subprotocol), code);
}

bool ServerHandlers::retire_handler(std::string_view subprotocol) {
    return !chooser().handlers().remove(subprotocol).empty();
}

void ServerHandlers::call_connections_of(const std::shared_ptr<const AnyHandler>& handler,
                                         Callback<void(AnyConnection&)> call) {
    call_served(ServedCall{handler, std::move(call)});
}

std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> ServerHandlers::handlers() const {
    return chooser().handlers().all();
}

void ServerHandlers::handle_path(const std::string& pattern, std::string subprotocol,
                                 std::shared_ptr<AnyHandler> handler) {
    chooser().handlers().set_path(pattern, std::move(subprotocol), adopted(std::move(handler)));
}

bool ServerHandlers::remove_path(std::string_view pattern, CloseCode code) {
    return close(chooser().handlers().remove_path(pattern, std::nullopt), code);
}

bool ServerHandlers::remove_path_handler(std::string_view pattern, std::string_view subprotocol, CloseCode code) {
    return close(chooser().handlers().remove_path(pattern, subprotocol), code);
}

std::vector<Route> ServerHandlers::routes() const { return chooser().handlers().routes(); }

void ServerHandlers::on_upgrade(std::function<Admission(const UpgradeRequest&)> decide, Runs runs) {
    chooser().upgrade_hook().set(std::move(decide), runs);
}

void ServerHandlers::on_upgrade(Callback<void(const UpgradeRequest&, UpgradeReply)> decide) {
    chooser().upgrade_hook().set(std::move(decide));
}

void ServerHandlers::handle_http(std::string_view method, std::string_view pattern,
                                 std::function<HttpResponse(const RoutedRequest&)> answer, HttpRouteOptions options) {
    auto shared = std::make_shared<const HttpRoutes::Answer>(std::move(answer));
    chooser().http_routes().add(method, pattern, std::move(shared), options);
}

void ServerHandlers::handle_http(std::string_view method, std::string_view pattern,
                                 Callback<void(const RoutedRequest&, HttpReply)> answer, HttpRouteOptions options) {
    chooser().http_routes().add(method, pattern, std::move(answer), options);
}

void ServerHandlers::handle_http(std::string_view method, std::string_view pattern,
                                 Callback<void(const RoutedRequest&, HttpUpload, HttpReply)> answer,
                                 HttpRouteOptions options) {
    chooser().http_routes().add(method, pattern, std::move(answer), options);
}

bool ServerHandlers::close(std::vector<RemovedHandler> removed, CloseCode code) {
    if (removed.empty()) return false;
    close_removed(std::move(removed), code);
    return true;
}

}  // namespace wsserver
