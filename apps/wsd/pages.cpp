#include "wsd/pages.hpp"

#include <string>
#include <string_view>

#include "wsd/chat_page.hpp"

namespace wsd {

namespace {

using wsserver::HttpResponse;

constexpr std::string_view installed_command = "wsd-ctl broadcast 'hello'";

std::string escaped_for_html(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '&') {
            out += "&amp;";
        } else if (c == '<') {
            out += "&lt;";
        } else {
            out += c;
        }
    }
    return out;
}

HttpResponse chat(std::string_view page) {
    return {.status = 200,
            .fields = {{"Cache-Control", "no-cache"}, {"X-Content-Type-Options", "nosniff"}},
            .content_type = "text/html; charset=utf-8",
            .body = std::string{page}};
}

}  // namespace

HttpResponse health(bool degraded) {
    return {.fields = {{"Cache-Control", "no-store"}}, .body = degraded ? "degraded\n" : "ok\n"};
}

std::string chat_page_with(std::string_view command) {
    std::string page{chat_page};
    if (command.empty()) return page;
    const auto place = page.find(std::string{installed_command} + "</code>");
    return page.replace(place, installed_command.size(), escaped_for_html(command));
}

std::optional<HttpResponse> answer_http(const wsserver::HttpRequest& request, std::string_view page, bool degraded) {
    const std::string_view target{request.target};
    const auto path = target.substr(0, target.find('?'));
    if (path == health_path) return health(degraded);
    if (page.empty()) return std::nullopt;
    if (path == "/" || path == "/index.html") return chat(page);
    if (path == "/favicon.ico") return HttpResponse{.status = 404, .body = "not found\n"};
    return std::nullopt;
}

}  // namespace wsd
