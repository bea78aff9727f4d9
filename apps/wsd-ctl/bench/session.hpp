// Accompanies a load: records CPU time and memory, shows the progress, and handles Ctrl-C.
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

/// Records SIGINT and SIGTERM while it exists. The second one of a kind has its previous effect.
class EndingSignals {
   public:
    EndingSignals();
    ~EndingSignals();
    EndingSignals(const EndingSignals&) = delete;
    EndingSignals& operator=(const EndingSignals&) = delete;

    /// The signal that was received; 0: none.
    int caught() const noexcept;

   private:
    std::array<struct sigaction, 2> before_{};
};

class Session final : public LoadWatcher {
   public:
    /// `before`: the server's use before the first connection, if the server should be observed.
    Session(const Options& options, const Terminal& terminal, std::optional<ProcessUse> before)
        : options_(options), terminal_(terminal), before_(before) {}

    void on_measurement_begins() override;
    void on_measurement_ends() override;
    void on_tick(Stage stage, std::chrono::milliseconds since, const Outcome& so_far) override;
    bool wants_end() override { return signals_.caught() != 0; }

    Report report(const Outcome& outcome) const;
    int signal() const noexcept { return signals_.caught(); }
    /// Erases the progress line.
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
