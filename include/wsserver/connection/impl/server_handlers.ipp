#pragma once

#include "wsserver/connection/server_handlers.hpp"

#include <optional>

#include "wsserver/connection/handler_chooser.hpp"

namespace wsserver {

void ServerHandlers::handle(std::string subprotocol, std::shared_ptr<AnyHandler> handler) {
    chooser().handlers().set(std::move(subprotocol), adopted(std::move(handler)));
}

bool ServerHandlers::remove_handler(std::string_view subprotocol, CloseCode code) {
    return close(chooser().handlers().remove(subprotocol), code);
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

void ServerHandlers::on_upgrade(std::function<void(const UpgradeRequest&, UpgradeReply)> decide) {
    chooser().upgrade_hook().set(std::move(decide));
}

bool ServerHandlers::close(std::vector<RemovedHandler> removed, CloseCode code) {
    if (removed.empty()) return false;
    close_removed(std::move(removed), code);
    return true;
}

}  // namespace wsserver
