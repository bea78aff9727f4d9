// A class that decides about opening handshakes. The query says how.
#include <stdexcept>
#include <string>
#include <wsserver/handler.hpp>

namespace {

using namespace wsserver;

class Doorkeeper {
   public:
    Admission on_upgrade(const UpgradeRequest& request) {
        if (request.query("throw")) throw std::runtime_error{"no database"};
        if (request.query("status")) return Admission::refuse({.status = 200});
        Admission admission;
        if (request.query("choose")) admission.subprotocol = "b";
        admission.fields = {{"Set-Cookie", "seen=1"}, {"X-Seen", seen(request)}};
        if (request.cookie("sid")) return admission;
        return Admission::refuse({.status = 401,
                                  .fields = {{"WWW-Authenticate", "Bearer"}},
                                  .content_type = "text/html",
                                  .body = seen(request)});
    }
    void on_open(AnyConnection& connection) { connection.send("welcome"); }

   private:
    static std::string seen(const UpgradeRequest& request) {
        std::string text{request.path()};
        text += ' ' + request.query("room").value_or("-") + ' ' + std::string{request.find("user-agent")} + ' ' +
                std::string{request.peer().substr(0, 3)} + ' ' + request.request().method + ' ' +
                std::to_string(request.request().fields.size()) + ' ' + std::string{request.origin()};
        for (const std::string& subprotocol : request.subprotocols()) text += ' ' + subprotocol;
        return text;
    }
};

}  // namespace

WSSERVER_HANDLER(Doorkeeper);
