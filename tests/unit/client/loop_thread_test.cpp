#include "wsserver/client/detail/loop_thread.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <thread>

#include "support/catch.hpp"

using namespace wsserver;
namespace asio = boost::asio;

TEST_CASE("a client may be destroyed where its loop runs or ran last", "[client][loop_thread]") {
    asio::io_context context{1};
    const auto work = asio::make_work_guard(context);
    LoopThread loop{context};
    CHECK_FALSE(loop.is_running_here());
    CHECK(loop.may_end_here());  // it has not run

    bool inside = false, may_inside = false;
    asio::post(context, [&] {
        loop.note();
        inside = loop.is_running_here();
        may_inside = loop.may_end_here();
    });
    const auto on_another_thread = [](auto&& f) { std::thread{f}.join(); };
    SECTION("on this thread") {
        context.run_one();
        CHECK(loop.may_end_here());
        on_another_thread([&] { CHECK_FALSE(loop.may_end_here()); });
    }
    SECTION("on another thread") {
        on_another_thread([&] { context.run_one(); });
        CHECK_FALSE(loop.may_end_here());
    }
    CHECK(inside);
    CHECK(may_inside);
    CHECK_FALSE(loop.is_running_here());
    context.stop();
    CHECK(loop.may_end_here());
    on_another_thread([&] { CHECK(loop.may_end_here()); });
}
