#include "wsd-ctl/bench/bench.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <charconv>

#include "wsd-ctl/bench/dialer.hpp"
#include "wsd-ctl/bench/load.hpp"
#include "wsd-ctl/bench/process_use.hpp"
#include "wsd-ctl/bench/report.hpp"
#include "wsd-ctl/bench/session.hpp"
#include "wsd-ctl/connect/request_field.hpp"
#include "wsserver/handshake/url.hpp"
#include "wsserver/transport/asio.hpp"

namespace wsd::ctl::bench {

namespace {

using wsserver::Result;
using wsserver::Unexpected;

/// The transport of the load. Any transport works whose sockets are descriptors.
using LoadTransport = wsserver::AsioTransport;

/// Descriptors that are not connections: the event loop, standard streams, libraries.
constexpr rlim_t other_descriptors = 32;

/// Raises the soft limit, which is low only for programs that use select(). Returns an error text if that is not
/// enough.
std::string raise_descriptor_limit(rlim_t connections) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
    if (limit.rlim_cur != limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        ::getrlimit(RLIMIT_NOFILE, &limit);
    }
    const rlim_t wanted = connections + other_descriptors;
    if (limit.rlim_cur >= wanted) return {};
    return fmt::format(
        "{} connections need {} descriptors, but the limit is {}: raise the hard limit (as root: ulimit -n {})",
        connections, wanted, limit.rlim_cur, wanted);
}

wsserver::Endpoint endpoint_of(const wsserver::Url& url) {
    wsserver::Endpoint to{url.host, 0, url.unix_path};
    if (to.is_unix()) to.host.clear();
    std::from_chars(url.port.data(), url.port.data() + url.port.size(), to.port);
    return to;
}

Result<wsserver::ClientRequest, Failure> request_of(const wsserver::Url& url, const Options& options) {
    if (url.secure) return Unexpected{Failure{exit_tls, "TLS (wss://) is not supported yet; use ws://"}};
    wsserver::ClientRequest request;
    request.target = url.target;
    request.subprotocols = options.subprotocols;
    request.origin = options.origin;
    request.fields = options.fields;
    request.host = take_host(request.fields, url.host_field());
    if (const auto checked = check_request(request); !checked) return Unexpected{Failure{exit_usage, checked.error()}};
    return request;
}

int complain(const Terminal& terminal, const Failure& failure) { return terminal.fail(failure.code, failure.text); }

int print_result(const Options& options, const Session& session, const Outcome& outcome, const Terminal& terminal) {
    const auto report = session.report(outcome);
    if (outcome.measured && !options.quiet) {
        terminal.out << (options.json ? to_json(report) : to_text(report));
    }
    const Exit printed = terminal.printed();
    for (const auto& remark : remarks(report)) terminal.complain(remark);
    if (outcome.interrupted) {
        if (!outcome.measured) terminal.complain("interrupted before anything was measured");
        return 128 + session.signal();
    }
    return printed == exit_done ? outcome.exit_code() : printed;
}

int run(const Options& options, const wsserver::ClientRequest& request, Dialer& dialer, const Terminal& terminal,
        std::optional<ProcessUse> server) {
    Session session{options, terminal, server};
    LoadTransport transport;
    const auto load = std::make_unique<Load<LoadTransport>>(
        transport, options, request, session, [&](std::uint32_t connection) { return dialer.dial(connection); });
    load->start();
    transport.run();
    session.clear_progress();
    return print_result(options, session, load->outcome(), terminal);
}

}  // namespace

int bench(const Options& options, const Terminal& terminal) {
    const auto url = wsserver::parse_url(options.url);
    if (!url) return complain(terminal, {exit_usage, url.error()});
    const auto request = request_of(*url, options);
    if (!request) return complain(terminal, {request.error().code, options.url + ": " + request.error().text});
    if (auto problem = raise_descriptor_limit(options.connections); !problem.empty()) {
        return complain(terminal, {exit_failed, std::move(problem)});
    }
    std::optional<ProcessUse> server;
    if (options.server_pid) {
        const auto use = use_of_process(*options.server_pid);
        if (!use) return complain(terminal, {exit_failed, "--server-pid: " + use.error()});
        server = *use;
    }
    auto dialer = Dialer::find(endpoint_of(*url), options.timeout);
    if (!dialer) {
        return complain(
            terminal, {dialer.error().code, fmt::format("cannot connect to {}: {}", options.url, dialer.error().text)});
    }
    return run(options, *request, *dialer, terminal, server);
}

}  // namespace wsd::ctl::bench
