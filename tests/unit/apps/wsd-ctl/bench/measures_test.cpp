// How a load measures: histogram, pace, samples, CPU time and memory.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "wsd-ctl/bench/histogram.hpp"
#include "wsd-ctl/bench/pace.hpp"
#include "wsd-ctl/bench/process_use.hpp"
#include "wsd-ctl/bench/random.hpp"
#include "wsd-ctl/bench/readable.hpp"
#include "wsd-ctl/bench/report.hpp"
#include "wsd-ctl/bench/sample.hpp"
#include "wsserver/base/utf8.hpp"

using namespace std::chrono_literals;
using namespace wsd::ctl::bench;
using std::chrono::nanoseconds;

namespace {

double off(nanoseconds got, nanoseconds wanted) {
    return std::abs(static_cast<double>(got.count() - wanted.count())) / static_cast<double>(wanted.count());
}

}  // namespace

TEST_CASE("an empty histogram returns 0", "[bench][histogram]") {
    const Histogram none;
    CHECK(none.count() == 0);
    CHECK(none.quantile(0.5) == 0ns);
    CHECK(none.max() == 0ns);
    CHECK(none.mean() == 0ns);
}

TEST_CASE("a single time is its own quantile, at most 0.4 % off", "[bench][histogram]") {
    for (std::int64_t value = 1; value < (std::int64_t{1} << 42); value += 1 + value / 3) {
        for (const std::int64_t near : {value - 1, value, value + 1}) {
            Histogram histogram;
            histogram.record(nanoseconds{near});
            histogram.record(100h);  // so that the bucket counts, and not the maximum
            CAPTURE(near);
            if (near < 256) {
                CHECK(histogram.quantile(0.5).count() == near);
            } else {
                CHECK(off(histogram.quantile(0.5), nanoseconds{near}) <= 0.004);
            }
        }
    }
}

TEST_CASE("many equal times can be recorded at once", "[bench][histogram]") {
    Histogram histogram;
    histogram.record(1s, 0);
    CHECK(histogram.max() == 0ns);
    histogram.record(100ns);
    histogram.record(20s, 1'000'000'000'000);
    CHECK(histogram.count() == 1'000'000'000'001);
    CHECK(histogram.max() == 20s);
    CHECK(off(histogram.quantile(0.5), 20s) <= 0.004);
    CHECK(off(histogram.mean(), 20s) <= 0.001);
}

TEST_CASE("quantiles of many times are those of the sorted list", "[bench][histogram]") {
    std::mt19937_64 random{7};
    std::lognormal_distribution<double> draw(12, 2);
    Histogram histogram;
    std::vector<nanoseconds> all;
    for (int i = 0; i < 100'000; ++i) {
        all.emplace_back(static_cast<std::int64_t>(draw(random)) + 1);
        histogram.record(all.back());
    }
    std::sort(all.begin(), all.end());
    for (const double part : {0.01, 0.5, 0.9, 0.99, 0.999, 0.9999}) {
        CAPTURE(part);
        const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(all.size())));
        CHECK(off(histogram.quantile(part), all[rank - 1]) <= 0.01);
    }
    CHECK(histogram.max() == all.back());
    CHECK(histogram.quantile(1) <= all.back());
    CHECK(histogram.count() == all.size());
}

TEST_CASE("times outside the range count at its ends", "[bench][histogram]") {
    Histogram histogram;
    histogram.record(-5ns);
    CHECK(histogram.quantile(1) == 0ns);
    histogram.record(100h);
    CHECK(off(histogram.max(), 73min + 18s) < 0.01);
}

TEST_CASE("a pace gives senders turns at equal intervals", "[bench][pace]") {
    const Pace::Time start{1h};
    Pace pace{1000, 3, start};
    CHECK(pace.next_due() == start);
    CHECK(pace.due(0, 0) == start);
    CHECK(pace.due(2, 0) == start + 2ms);
    CHECK(pace.due(1, 10) == start + 31ms);

    std::vector<std::uint32_t> turns;
    while (const auto who = pace.take(start + 4ms)) turns.push_back(*who);
    CHECK(turns == std::vector<std::uint32_t>{0, 1, 2, 0, 1});
    CHECK(pace.taken(0) == 2);
    CHECK(pace.taken(1) == 2);
    CHECK(pace.taken(2) == 1);
    CHECK(pace.next_due() == start + 5ms);
}

TEST_CASE("a pace does not drift at any rate", "[bench][pace]") {
    const Pace::Time start{1h};
    for (const double rate : {0.5, 3.0, 7.0, 60'000.0, 999'983.0}) {
        CAPTURE(rate);
        const Pace pace{rate, 1, start};
        const auto a_day = static_cast<std::uint64_t>(rate * 86'400);
        CHECK(std::chrono::abs(pace.due(0, a_day) - (start + 24h)) < 1us);
    }
}

TEST_CASE("a late sender finds all its due messages", "[bench][pace]") {
    const Pace::Time start{1h};
    Pace pace{100'000, 7, start};
    int count = 0;
    while (pace.take(start + 10ms)) ++count;
    CHECK(count == 1001);
}

TEST_CASE("payloads differ and are compared up to the last byte", "[bench][sample]") {
    for (const bool binary : {false, true}) {
        for (const std::size_t size : {1U, 2U, 7U, 8U, 9U, 125U, 70'000U}) {
            CAPTURE(binary, size);
            Sample sample{size, binary};
            std::set<std::string> seen;
            for (std::uint64_t number = 0; number < 64; ++number) {
                std::string bytes{wsserver::text_of(sample.payload(number))};
                CHECK(bytes.size() == size);
                if (!binary) CHECK(wsserver::is_valid_utf8(wsserver::bytes_of(bytes)));
                CHECK(sample.is_payload(wsserver::bytes_of(bytes), number));
                CHECK_FALSE(sample.is_payload(wsserver::bytes_of(bytes), number + 1));
                CHECK_FALSE(sample.is_payload(wsserver::bytes_of(bytes).first(size - 1), number));
                bytes.back() = static_cast<char>(bytes.back() ^ 1);
                CHECK_FALSE(sample.is_payload(wsserver::bytes_of(bytes), number));
                seen.insert(bytes);
            }
            CHECK(seen.size() == 64);
        }
    }
    Sample nothing{0, false};
    CHECK(nothing.payload(5).empty());
    CHECK(nothing.is_payload({}, 6));
}

TEST_CASE("masking keys differ, and so do nonces", "[bench]") {
    Random random;
    std::set<wsserver::MaskingKey> keys;
    for (int i = 0; i < 1000; ++i) keys.insert(random.next_key());
    CHECK(keys.size() > 990);
    CHECK(random.nonce() != random.nonce());
}

TEST_CASE("the use of the own process is not 0", "[bench][process_use]") {
    const auto use = use_of_process(::getpid());
    REQUIRE(use);
    CHECK(use->cpu > 0ns);
    CHECK(use->rss > 100'000);
    CHECK(own_time().cpu > 0ns);
    const auto missing = use_of_process(1 << 29);
    REQUIRE(!missing);
    CHECK(missing.error().find("does not exist") != std::string::npos);
}

TEST_CASE("CPU time is read with schedstat and without", "[bench][process_use]") {
    const wsserver::test::TemporaryFolder folder;
    const std::string process = folder / "42";
    for (const char* thread : {"42", "43"}) std::filesystem::create_directories(process + "/task/" + thread);
    std::ofstream{process + "/stat"} << "42 (a) name) S 1 1 1 0 -1 0 0 0 0 0 150 50 7 7 20 0 2 0\n";
    std::ofstream{process + "/statm"} << "1000 10 5 1 0 100 0\n";
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));

    auto use = use_of_process(42, folder.path());
    REQUIRE(use);
    CHECK(use->cpu == 200s / ::sysconf(_SC_CLK_TCK));
    CHECK(use->rss == 10 * page);
    CHECK_FALSE(use->pss);

    std::ofstream{process + "/task/42/schedstat"} << "1000 5 1\n";
    std::ofstream{process + "/task/43/schedstat"} << "234 5 1\n";
    std::ofstream{process + "/smaps_rollup"}
        << "55d0-7fff ---p 00000000 00:00 0    [rollup]\nRss:   40 kB\nPss:   20 kB\n";
    use = use_of_process(42, folder.path());
    REQUIRE(use);
    CHECK(use->cpu == 1234ns);
    CHECK(use->rss == 40 * 1024);
    CHECK(use->pss == 20 * 1024);
}

TEST_CASE("a report warns about doubtful figures", "[bench][report]") {
    const Options options;
    Outcome outcome;
    outcome.measured = true;
    outcome.opened = 64;
    outcome.tally.begin = Tally::Time{1h};
    outcome.tally.end = Tally::Time{1h} + 2s;
    outcome.tally.messages = 1000;
    Report report{options, outcome};
    report.generator = {1s, 100ms};
    CHECK(remarks(report).empty());
    const auto only_remark = [&] {
        const auto lines = remarks(report);
        REQUIRE(lines.size() == 1);
        return lines.front();
    };
    const auto says = [&](std::string_view part) { return only_remark().find(part) != std::string::npos; };
    report.generator.waited = 900ms;
    CHECK(says("the generator waited for a core for 45 % of the time"));
    report.generator.cpu = 1900ms;
    CHECK(says("the generator used 95 % of a core"));
    report.generator = {};
    outcome.tally.unsent = 1234;
    CHECK(says("1,234 messages were due and not sent"));
    CHECK(outcome.exit_code() == 0);
    outcome.tally.unsent = 0;
    outcome.tally.lost = 2;
    CHECK(says("2 messages were never received"));
    CHECK(outcome.exit_code() == 1);

    report.server = Report::Server{4ms, {0s, 1'000'000, {}}, {0s, 1'640'000, {}}};
    CHECK(report.server_microseconds() == 4.0);
    CHECK(report.memory_of_connection() == 10'000);
    CHECK(to_json(report).find("\"pss\":null,\"rss_per_connection\":10000") != std::string::npos);
    CHECK(to_text(report).find("4 us of CPU for each message") != std::string::npos);
}

TEST_CASE("numbers and latencies are readable", "[bench][readable]") {
    CHECK(readable_number(0) == "0");
    CHECK(readable_number(999) == "999");
    CHECK(readable_number(1000) == "1,000");
    CHECK(readable_number(1234567) == "1,234,567");
    CHECK(readable_latency(0ns) == "0 ns");
    CHECK(readable_latency(850ns) == "850 ns");
    CHECK(readable_latency(71'234ns) == "71.2 us");
    CHECK(readable_latency(999'999ns) == "1.00 ms");
    CHECK(readable_latency(1'204us) == "1.20 ms");
    CHECK(readable_latency(125s) == "125 s");
}
