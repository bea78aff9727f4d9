// Stands beside a load: reads the books when the measurement begins and ends, shows how far it is, listens for Ctrl-C.
#pragma once

#include <signal.h>

#include <array>
#include <chrono>
#include <optional>

#include "wsd-ctl/bench/load.hpp"
#include "wsd-ctl/bench/process_use.hpp"
#include "wsd-ctl/bench/report.hpp"
#include "wsd-ctl/terminal.hpp"

namespace wsd::ctl::bench {

/// Notes SIGINT and SIGTERM for as long as it lives; the second one of a kind does what it did before.
class EndingSignals {
   public:
    EndingSignals();
    ~EndingSignals();
    EndingSignals(const EndingSignals&) = delete;
    EndingSignals& operator=(const EndingSignals&) = delete;

    /// The one that came; 0 if none did.
    int caught() const noexcept;

   private:
    std::array<struct sigaction, 2> before_{};
};

class Session final : public LoadWatcher {
   public:
    /// `before`: the server's use before the first connection, if it is to be watched.
    Session(const Options& options, const Terminal& terminal, std::optional<ProcessUse> before)
        : options_(options), terminal_(terminal), before_(before) {}

    void on_measurement_begins() override;
    void on_measurement_ends() override;
    void on_tick(Stage stage, std::chrono::milliseconds since, const Outcome& so_far) override;
    bool wants_end() override { return signals_.caught() != 0; }

    Report report(const Outcome& outcome) const;
    int signal() const noexcept { return signals_.caught(); }
    /// Takes the progress line away.
    void clear_progress();

   private:
    std::optional<ProcessUse> server_use() const;
    void show(std::string_view text);

    const Options& options_;
    const Terminal& terminal_;
    const std::optional<ProcessUse> before_;
    EndingSignals signals_;
    OwnTime own_{};
    std::optional<ProcessUse> server_at_begin_{};
    std::optional<ProcessUse> server_at_end_{};
    unsigned ticks_ = 0;
    bool shown_ = false;
    Stage shown_stage_ = Stage::opening;
};

}  // namespace wsd::ctl::bench
