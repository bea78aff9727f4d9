#include "wsd/pages.hpp"

#include <string>
#include <string_view>

#include "wsd/chat_page.hpp"

namespace wsd {

namespace {

using wsserver::HttpResponse;

HttpResponse chat() {
    return {.status = 200,
            .fields = {{"Cache-Control", "no-cache"}, {"X-Content-Type-Options", "nosniff"}},
            .content_type = "text/html; charset=utf-8",
            .body = std::string{chat_page}};
}

}  // namespace

HttpResponse health(bool degraded) {
    return {.fields = {{"Cache-Control", "no-store"}}, .body = degraded ? "degraded\n" : "ok\n"};
}

std::optional<HttpResponse> answer_http(const wsserver::HttpRequest& request, bool demo, bool degraded) {
    const std::string_view target{request.target};
    const auto path = target.substr(0, target.find('?'));
    if (path == health_path) return health(degraded);
    if (!demo) return std::nullopt;
    if (path == "/" || path == "/index.html") return chat();
    if (path == "/favicon.ico") return HttpResponse{.status = 404, .body = "not found\n"};
    return std::nullopt;
}

}  // namespace wsd
