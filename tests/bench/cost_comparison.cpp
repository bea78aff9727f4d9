// Measures the CPU time of each server in alternating windows.
#include "cost_comparison.hpp"

#include <sys/resource.h>

#include <chrono>
#include <stdexcept>
#include <string>

#include "series.hpp"
#include "server_process.hpp"

namespace wsserver::bench {

namespace {

std::size_t descriptors_allowed() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_cur;
}

/// A server and its load, measured in every round.
class Subject {
   public:
    Subject(const Contender& contender, const CostPoint& point, const Options& options)
        : contender_(&contender), point_(&point), server_(contender.start(options.server_core())) {
        const std::size_t descriptors = point.connections * options.contenders.size();
        stays_connected_ = descriptors < descriptors_allowed() * 9 / 10;
    }

    void measure(const Options& options) {
        if (!load_) load_ = point_->make_load(*contender_, server_.port());
        std::vector<std::chrono::nanoseconds> cpu;
        const auto window = load_->run(options.warm_up, options.window, [&] { cpu.push_back(server_.cpu()); });
        if (!stays_connected_) load_.reset();
        if (window.done == 0)
            throw std::runtime_error{"the server answered nothing in a whole window; make the window longer"};
        const auto done = static_cast<double>(window.done);
        cost_.push_back(std::chrono::duration<double, std::micro>(cpu.at(1) - cpu.at(0)).count() / done);
        rate_.push_back(done / std::chrono::duration<double>(window.time).count());
    }

    const std::string& name() const noexcept { return contender_->name; }
    /// For each window, the microseconds of server CPU per operation, and the operations per second.
    const std::vector<double>& cost() const noexcept { return cost_; }
    const std::vector<double>& rate() const noexcept { return rate_; }

   private:
    const Contender* contender_;
    const CostPoint* point_;
    ServerProcess server_;
    std::unique_ptr<Load> load_;
    bool stays_connected_;  ///< between windows; false if all servers together have more connections than descriptors
    std::vector<double> cost_, rate_;
};

void print(Table& table, const CostPoint& point, const Subject& subject, const Subject& base) {
    const auto [middle, least, most] = ratio(subject.cost(), base.cost());
    std::vector<Cell> cells = point.labels;
    cells.insert(cells.end(), {{"server", subject.name()},
                               {"us", median(subject.cost())},
                               {"per_second", median(subject.rate())},
                               {"base", base.name()},
                               {"ratio", middle},
                               {"ratio_min", least},
                               {"ratio_max", most}});
    table.row(cells);
}

}  // namespace

void compare_cost(const Options& options, const CostPoint& point, Table& table) {
    std::vector<std::unique_ptr<Subject>> subjects;
    const Subject* base = nullptr;
    for (const Contender& contender : options.contenders) {
        subjects.push_back(std::make_unique<Subject>(contender, point, options));
        if (contender.name == options.base) base = subjects.back().get();
    }
    for (std::size_t round = 0; round < options.rounds; ++round) {
        for (const auto& subject : subjects) subject->measure(options);
    }
    for (const auto& subject : subjects) print(table, point, *subject, *base);
}

}  // namespace wsserver::bench
