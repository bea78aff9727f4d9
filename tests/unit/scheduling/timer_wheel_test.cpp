#include "wsserver/scheduling/timer_wheel.hpp"

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono_literals;

namespace {

class Timer final : public TimerNode {
   public:
    explicit Timer(std::function<void()> action = {}) : action_(std::move(action)) {}
    int fired() const noexcept { return fired_; }

    void on_timer() {
        ++fired_;
        const auto action = action_;  // a copy, because the action may destroy this timer
        if (action) action();
    }

   private:
    std::function<void()> action_;
    int fired_ = 0;
};

using Wheel = TimerWheel<Timer>;
using Clock = Wheel::Clock;
using Time = Clock::time_point;

constexpr Time start{100'000h + 7ns};
constexpr auto turn = Wheel::tick * Wheel::slots;

}  // namespace

TEST_CASE("a timer fires once, never early and at most a tick late", "[timer_wheel]") {
    for (const auto delay : {1ns, 999ns, Clock::duration{1ms}, Clock::duration{32ms}, Clock::duration{33ms},
                             Clock::duration{10s}, Clock::duration{turn - 1ns}, Clock::duration{turn},
                             Clock::duration{turn + 1ns}, Clock::duration{25min}, Clock::duration{1000h}}) {
        CAPTURE(delay.count());
        Wheel wheel{start};
        Timer timer;
        wheel.schedule(timer, start + delay);
        CHECK(wheel.advance(start + delay - 1ns) == 0);
        CHECK(timer.is_scheduled());
        CHECK(wheel.advance(start + delay + Wheel::tick) == 1);
        CHECK_FALSE(timer.is_scheduled());
        CHECK(wheel.advance(start + delay + 2000h) == 0);
        CHECK(timer.fired() == 1);
    }
}

TEST_CASE("a time in the past is due at the next tick", "[timer_wheel]") {
    Wheel wheel{start};
    Timer past, longest_past;
    wheel.schedule(past, start - 5s);
    wheel.schedule(longest_past, Time::min());
    CHECK(wheel.advance(start) == 0);
    CHECK(wheel.next_wake() <= start + Wheel::tick);
    CHECK(wheel.advance(start + Wheel::tick) == 2);
}

TEST_CASE("a timer at the end of time never fires", "[timer_wheel]") {
    Wheel wheel{start};
    Timer timer;
    wheel.schedule(timer, Time::max());
    CHECK(wheel.next_wake() > start + 1000h);
    CHECK(wheel.advance(start + 1000h) == 0);
    CHECK(timer.is_scheduled());
}

TEST_CASE("without timers there is no next wake-up", "[timer_wheel]") {
    Wheel wheel{start};
    CHECK_FALSE(wheel.next_wake());
    Timer timer;
    wheel.schedule(timer, start + 1s);
    CHECK(wheel.next_wake());
    wheel.cancel(timer);
    wheel.cancel(timer);
    CHECK(wheel.advance(start + 2s) == 0);
    CHECK_FALSE(wheel.next_wake());
}

TEST_CASE("next_wake finds a timer at any distance", "[timer_wheel]") {
    Wheel wheel{start};
    Timer near, far;
    wheel.schedule(far, start + 3h);
    wheel.schedule(near, start + 3s);
    CHECK(*wheel.next_wake() >= start + 3s);
    CHECK(*wheel.next_wake() <= start + 3s + Wheel::tick);
    CHECK(wheel.advance(*wheel.next_wake()) == 1);
    // The revolutions of the wheel in between need no wake-up.
    CHECK(*wheel.next_wake() >= start + 3h);
    CHECK(wheel.advance(*wheel.next_wake()) == 1);
    CHECK(far.fired() == 1);
}

TEST_CASE("100,000 timers cause at most one wake-up per tick", "[timer_wheel]") {
    Wheel wheel{start};
    std::vector<std::unique_ptr<Timer>> timers;
    std::mt19937_64 random{1};
    std::uniform_int_distribution<std::int64_t> within{0, Clock::duration{25s}.count()};
    for (int i = 0; i < 100'000; ++i) {
        timers.push_back(std::make_unique<Timer>());
        wheel.schedule(*timers.back(), start + Clock::duration{within(random)});
    }
    std::size_t fired = 0;
    std::size_t wakes = 0;
    while (const auto wake = wheel.next_wake()) {
        const std::size_t now = wheel.advance(*wake);
        CHECK(now > 0);
        fired += now;
        ++wakes;
    }
    CHECK(fired == timers.size());
    CHECK(wakes <= 25s / Wheel::tick + 1);
}

TEST_CASE("scheduling again replaces the time", "[timer_wheel]") {
    Wheel wheel{start};
    Timer timer;
    wheel.schedule(timer, start + 1s);
    wheel.schedule(timer, start + 10s);
    CHECK(wheel.advance(start + 5s) == 0);
    wheel.schedule(timer, start + 6s);
    CHECK(wheel.advance(start + 7s) == 1);
    CHECK(wheel.advance(start + 20s) == 0);
}

TEST_CASE("a timer that is destroyed does not fire", "[timer_wheel]") {
    Wheel wheel{start};
    Timer first, last;
    wheel.schedule(first, start + 1s);
    {
        Timer between;
        wheel.schedule(between, start + 1s);
        wheel.schedule(last, start + 1s);
    }
    CHECK(wheel.advance(start + 2s) == 2);
}

TEST_CASE("a wheel that is destroyed cancels its timers", "[timer_wheel]") {
    Timer timer;
    {
        Wheel wheel{start};
        wheel.schedule(timer, start + 1s);
    }
    CHECK_FALSE(timer.is_scheduled());
}

TEST_CASE("a timer may reschedule and destroy others that are due at the same time", "[timer_wheel]") {
    Wheel wheel{start};
    // The first timer that fires destroys one of the other two and reschedules the third.
    std::map<int, std::unique_ptr<Timer>> timers;
    int fired = 0;
    for (int i = 0; i < 3; ++i) {
        timers[i] = std::make_unique<Timer>([&, i] {
            if (++fired > 1) return;
            timers.erase((i + 1) % 3);
            wheel.schedule(*timers.at((i + 2) % 3), start + 10s);
        });
        wheel.schedule(*timers[i], start + 1s);
    }
    CHECK(wheel.advance(start + 5s) == 1);
    CHECK(wheel.advance(start + 11s) == 1);
    CHECK(fired == 2);
}

TEST_CASE("a timer may schedule or destroy itself", "[timer_wheel]") {
    Wheel wheel{start};
    std::unique_ptr<Timer> once;
    once = std::make_unique<Timer>([&] { once.reset(); });
    int rings = 0;
    std::unique_ptr<Timer> again;
    again = std::make_unique<Timer>([&] {
        ++rings;
        wheel.schedule(*again, start);  // in the past, so due in the next call and not again in this one
    });
    wheel.schedule(*once, start + 1s);
    wheel.schedule(*again, start + 1s);
    CHECK(wheel.advance(start + 2s) == 2);
    CHECK_FALSE(once);
    CHECK(wheel.advance(start + 2s) == 0);
    CHECK(wheel.advance(start + 3s) == 1);
    CHECK(rings == 2);
}

TEST_CASE("an exception leaves the other timers for the next call", "[timer_wheel]") {
    Wheel wheel{start};
    int fired = 0;
    const auto throws = [&] {
        ++fired;
        throw fired;
    };
    Timer first{throws}, second{throws};
    wheel.schedule(first, start + 1s);
    wheel.schedule(second, start + 1s);
    CHECK_THROWS_AS(wheel.advance(start + 2s), int);
    CHECK(wheel.next_wake() <= start + 2s);
    CHECK_THROWS_AS(wheel.advance(start + 2s), int);
    CHECK_FALSE(wheel.next_wake());
    CHECK(fired == 2);
}

TEST_CASE("the clock may stop or step back", "[timer_wheel]") {
    Wheel wheel{start};
    Timer timer;
    wheel.schedule(timer, start + 1s);
    CHECK(wheel.advance(start + 500ms) == 0);
    CHECK(wheel.advance(start - 10s) == 0);
    CHECK(wheel.advance(start + 999ms) == 0);
    CHECK(wheel.advance(start + 1s + Wheel::tick) == 1);
}

TEST_CASE("the wheel behaves like a sorted list", "[timer_wheel]") {
    struct Model {
        std::unique_ptr<Timer> timer;
        bool scheduled = false;
        Time when{};
        Time since{};  ///< when it was scheduled
    };
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random{seed};
        const auto below = [&](std::int64_t bound) {
            return std::uniform_int_distribution<std::int64_t>{0, bound - 1}(random);
        };
        Time now = start, advanced = start;
        Wheel wheel{now};
        std::vector<Model> models(200);
        bool as_expected = true;
        for (std::size_t i = 0; i < models.size(); ++i) {
            models[i].timer = std::make_unique<Timer>([&, i] {
                Model& model = models[i];
                as_expected = as_expected && model.scheduled && model.when <= now;
                model.scheduled = false;
                if (below(3) == 0) {
                    model.when = now + Clock::duration{below(Clock::duration{2min}.count())};
                    model.since = now;
                    model.scheduled = true;
                    wheel.schedule(*model.timer, model.when);
                }
            });
        }
        for (int step = 0; step < 3000; ++step) {
            Model& model = models[static_cast<std::size_t>(below(200))];
            switch (below(4)) {
                case 0:
                case 1:
                    // Most are near, some are several revolutions away, some are in the past.
                    model.when = now - 1s + Clock::duration{below(Clock::duration{below(2) ? 20s : 200s}.count())};
                    model.since = now;
                    model.scheduled = true;
                    wheel.schedule(*model.timer, model.when);
                    break;
                case 2:
                    model.scheduled = false;
                    wheel.cancel(*model.timer);
                    break;
                case 3:
                    now += Clock::duration{below(Clock::duration{below(50) ? 300ms : 60s}.count())};
                    advanced = now;
                    wheel.advance(now);
                    break;
            }
            const auto wake = wheel.next_wake();
            for (const Model& each : models) {
                as_expected = as_expected && each.timer->is_scheduled() == each.scheduled;
                if (!each.scheduled) continue;
                // Timers that were due a tick ago have fired, and the wake-up is in time for the next one.
                as_expected = as_expected && std::max(each.when, each.since) + Wheel::tick > advanced;
                as_expected = as_expected && wake;
                as_expected = as_expected && *wake <= std::max(each.when, now) + Wheel::tick;
            }
            REQUIRE(as_expected);
        }
        for (const Model& each : models) {
            if (each.scheduled) wheel.cancel(*each.timer);
        }
        wheel.advance(now += 1h);
        CHECK_FALSE(wheel.next_wake());
    }
}
