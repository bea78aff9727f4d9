#include "wsd/handler_set.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"

using wsd::Config;
using wsd::HandlerSet;
using wsserver::test::Strings;

namespace {

/// A server that is not started: only its table of handlers is needed.
struct World {
    wsserver::Server server{{.io_threads = 1}};
    HandlerSet set{server, [](auto, auto, auto) {}, {}};

    Strings apply(const Config& config) {
        auto done = set.apply(config);
        if (!done) FAIL(done.error().front());
        return *std::move(done);
    }
    /// `SUBPROTOCOL=HANDLER`, in order.
    Strings served() const {
        Strings lines;
        for (const auto& [subprotocol, handler] : server.handlers()) {
            lines.push_back(subprotocol + "=" + std::string{handler->name()});
        }
        return lines;
    }
    std::shared_ptr<wsserver::AnyHandler> handler(const std::string& wanted) const {
        for (const auto& [subprotocol, handler] : server.handlers()) {
            if (subprotocol == wanted) return handler;
        }
        return nullptr;
    }
    /// Of a shared object's code.
    std::uint64_t version(const std::string& wanted) const {
        return std::dynamic_pointer_cast<wsserver::ReplaceableHandler>(handler(wanted))->versions().back().number;
    }
};

Config config(std::map<std::string, std::string> handlers, std::string default_handler = "echo") {
    Config result;
    result.handlers = std::move(handlers);
    result.default_handler = std::move(default_handler);
    return result;
}

const std::string sample = SAMPLE_HANDLER;  // a shared object that was built for the tests

}  // namespace

TEST_CASE("handlers that the configuration names serve", "[wsd][handler_set]") {
    World world;
    CHECK(world.apply(config({{"chat", "broadcast"}, {"void", "null"}})) ==
          Strings{"clients without a subprotocol: echo serves", "subprotocol chat: broadcast serves",
                  "subprotocol void: null serves"});
    CHECK(world.served() == Strings{"=echo", "chat=broadcast", "void=null"});
    CHECK(world.set.source_of("chat") == "built in");
    CHECK(world.set.source_of("other").empty());
}

TEST_CASE("the same configuration again touches nothing", "[wsd][handler_set]") {
    World world;
    const auto same = config({{"chat", "broadcast"}, {"x", sample}});
    world.apply(same);
    const auto before = world.server.handlers();
    CHECK(world.apply(same).empty());
    CHECK(world.server.handlers() == before);
}

TEST_CASE("handlers are removed or replaced as the configuration changes", "[wsd][handler_set]") {
    World world;
    world.apply(config({{"a", "echo"}, {"b", "echo"}}));
    CHECK(world.apply(config({{"b", "null"}, {"c", "echo"}}, "null")) ==
          Strings{"clients without a subprotocol: null serves", "subprotocol b: null serves",
                  "subprotocol c: echo serves", "subprotocol a: no longer served"});
    CHECK(world.served() == Strings{"=null", "b=null", "c=echo"});
}

TEST_CASE("a handler that cannot be loaded leaves everything unchanged", "[wsd][handler_set]") {
    World world;
    world.apply(config({{"a", "echo"}}));
    auto wanted = config({{"a", "null"}, {"b", "/nowhere/b.so"}}, "missing.so");
    wanted.handler_dir = "/nowhere/handlers";
    wanted.sources.emplace("handlers.b", "wsd.toml:7");
    const auto done = world.set.apply(wanted);
    REQUIRE(!done);
    REQUIRE(done.error().size() == 2);
    CHECK(done.error()[0].starts_with("default_handler (default): handler '/nowhere/handlers/missing.so'"));
    CHECK(done.error()[1].starts_with("handlers.b (wsd.toml:7): handler '/nowhere/b.so'"));
    CHECK(world.served() == Strings{"=echo", "a=echo"});
}

TEST_CASE("missing files are found without loading anything", "[wsd][handler_set]") {
    auto wanted = config({{"a", "null"}, {"b", "/nowhere/b.so"}, {"c", sample}}, "missing.so");
    wanted.handler_dir = "/nowhere/handlers";
    CHECK(wsd::missing_handlers(wanted) ==
          wsd::ConfigErrors{"default_handler (default): /nowhere/handlers/missing.so: No such file or directory",
                            "handlers.b (default): /nowhere/b.so: No such file or directory"});
    CHECK(wsd::missing_handlers(config({{"c", sample}})).empty());
}

TEST_CASE("a shared object is loaded again when its file or its text has changed", "[wsd][handler_set]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/sample.so";
    std::filesystem::copy_file(sample, file);
    World world;
    auto wanted = config({{"x", "sample.so"}});
    wanted.handler_dir = folder.path();
    world.apply(wanted);
    CHECK(world.set.source_of("x") == file);
    const auto first = world.handler("x");
    REQUIRE(first);
    CHECK(world.apply(wanted).empty());
    CHECK(world.handler("x") == first);

    std::filesystem::copy_file(sample, folder.path() + "/fresh.so");
    std::filesystem::rename(folder.path() + "/fresh.so", file);
    CHECK(world.apply(wanted) == Strings{"subprotocol x: " + file + " serves with its new code"});
    CHECK(world.handler("x") == first);
    CHECK(world.version("x") == 2);

    wanted.handler_config["x"] = "told";
    CHECK(world.apply(wanted).size() == 1);
    CHECK(world.version("x") == 3);
    CHECK(world.apply(wanted).empty());
}

TEST_CASE("a shared object is reloaded by command or when its file has changed", "[wsd][handler_set]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/sample.so";
    std::filesystem::copy_file(sample, file);
    World world;
    const auto wanted = config({{"a", "echo"}, {"x", file}});
    world.apply(wanted);
    REQUIRE(world.set.reload("x", wanted));
    CHECK(world.version("x") == 2);
    CHECK(world.set.replaceable() == Strings{"x"});
    CHECK(world.set.reload("a", wanted).error() == "it is built in; only shared objects can be reloaded");
    CHECK_FALSE(world.set.reload("b", wanted));

    CHECK(world.set.changed().empty());
    std::filesystem::copy_file(sample, folder.path() + "/fresh.so");
    std::filesystem::rename(folder.path() + "/fresh.so", file);
    CHECK(world.set.changed().empty());  // it may still be written
    CHECK(world.set.changed() == Strings{"x"});
    CHECK(world.set.changed().empty());  // although it was not loaded
    REQUIRE(world.set.reload("x", wanted));
    CHECK(world.set.changed().empty());
    std::filesystem::remove(file);
    CHECK(world.set.changed().empty());
    CHECK(world.set.changed().empty());
    CHECK_FALSE(world.set.reload("x", wanted));
    CHECK(world.version("x") == 3);
}

TEST_CASE("connections are given to the default handler", "[wsd][handler_set]") {
    World world;
    world.apply(config({{"a", "echo"}, {"x", sample}, {"y", sample}}));
    CHECK(world.set.unload_to_default("x"));
    CHECK(world.served() == Strings{"=echo", "a=echo", "y=" + std::string{world.handler("y")->name()}});
    CHECK(world.set.unload_to_default("x").error() == "nothing serves subprotocol x");
    CHECK(world.set.unload_to_default("").error() == "it is the default handler");
    CHECK(world.set.unload_to_default("a").error().starts_with("a built-in handler cannot give"));
}

TEST_CASE("a handler that a command loaded stays until the configuration names another one", "[wsd][handler_set]") {
    World world;
    world.apply(config({{"a", "echo"}}));
    const auto loaded = world.set.load("b", "null", config({}));
    REQUIRE(loaded);
    CHECK(*loaded == "null");
    REQUIRE(world.set.load("a", "null", config({})));
    CHECK(world.served() == Strings{"=echo", "a=null", "b=null"});

    CHECK(world.apply(config({{"a", "echo"}})) == Strings{"subprotocol a: echo serves"});
    CHECK(world.served() == Strings{"=echo", "a=echo", "b=null"});
    CHECK(world.apply(config({{"a", "echo"}, {"b", "null"}})).empty());  // now it belongs to the configuration
    CHECK(world.apply(config({{"a", "echo"}})) == Strings{"subprotocol b: no longer served"});
}

TEST_CASE("a failed command changes nothing, and unload reports whether there was a handler", "[wsd][handler_set]") {
    World world;
    world.apply(config({{"a", "echo"}}));
    CHECK(!world.set.load("a", "/nowhere/a.so", config({})));
    CHECK(world.served() == Strings{"=echo", "a=echo"});
    CHECK(world.set.unload("a"));
    CHECK(!world.set.unload("a"));
    CHECK(world.served() == Strings{"=echo"});
    CHECK(world.set.source_of("a").empty());
}
