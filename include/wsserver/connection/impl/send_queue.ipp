#pragma once

#include "wsserver/connection/send_queue.hpp"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>
#include <variant>

#include "wsserver/protocol/frame.hpp"

namespace wsserver {

namespace {

/// Up to this size, a copy costs less memory and time than a reference to a shared message.
constexpr std::size_t copied_size = 128;

/// Blocks grow with the queue, so that a short queue stays small.
constexpr std::size_t smallest_block = 4 * 1024;
constexpr std::size_t largest_block = 64 * 1024;

struct FrameExtent {
    std::size_t size;
    bool ends_message;
};

/// The data frame at the front of `frames`, which the protocol encoded.
FrameExtent first_frame(Bytes frames) noexcept {
    const auto decoded = decode_header(frames);
    const auto* header = std::get_if<FrameHeader>(&decoded);
    assert(header != nullptr && is_data(header->opcode));
    const std::size_t size = header->size + static_cast<std::size_t>(header->payload_length);
    assert(size <= frames.size());
    return {size, header->fin};
}

/// The number of bytes of the message, or the rest of a message, at the front of `frames`.
std::size_t first_message_size(Bytes frames) noexcept {
    std::size_t size = 0;
    for (;;) {
        const FrameExtent frame = first_frame(frames.subspan(size));
        size += frame.size;
        if (frame.ends_message) return size;
    }
}

}  // namespace

PushResult SendQueue::push(Bytes frames, SendKind kind) {
    switch (kind) {
        case SendKind::message:
        case SendKind::reply:
            assert(first_message_size(frames) == frames.size());
            return push_message(frames.size(), kind, [&] { append_copy(frames, kind); });
        case SendKind::part:
        case SendKind::last_part:
            return push_message(frames.size(), kind,
                                [&] { append_copy(frames, kind, kind == SendKind::part ? 0 : 1); });
        case SendKind::control:
            return push_control(frames);
        case SendKind::close:
            break;
    }
    return push_close(frames);
}

PushResult SendQueue::push_shared(const std::shared_ptr<const void>& owner, Bytes frames, SendKind kind,
                                  std::size_t memory) {
    assert(is_message(kind) || is_part(kind));
    if (frames.size() <= copied_size) return push(frames, kind);
    assert(is_part(kind) || first_message_size(frames) == frames.size());
    return push_message(frames.size(), kind, [&] {
        add(Run{owner, frames, kind == SendKind::part ? 0U : 1U, memory, is_part(kind)});
        memory_ += memory;
    });
}

PushResult SendQueue::push_frames(const std::shared_ptr<const void>& owner, const MessageFrames& message, SendKind kind,
                                  std::size_t memory) {
    assert(is_message(kind) && message.size() > 0);
    return push_message(message.size(), kind, [&] {
        add(Run{owner, message.frames(), memory});
        memory_ += memory;
    });
}

template <class Append>
PushResult SendQueue::push_message(std::size_t size, SendKind kind, Append&& append) {
    assert(!is_part(kind) || open_);
    if (!takes_messages_) return {SendStatus::closed};
    const PushResult admitted = admit(kind);
    if (admitted.status == SendStatus::queued) {
        append();
        waiting_ += size;
        if (is_after(kind)) after_.bytes += size;
        if (kind != SendKind::part) ++messages_;
        if (kind == SendKind::last_part) end_message();
    }
    watch_marks();
    return admitted;
}

PushResult SendQueue::open_message(Opcode opcode) {
    assert(!open_);
    if (!takes_messages_) return {SendStatus::closed};
    const PushResult admitted = admit(SendKind::reply);
    if (admitted.status == SendStatus::queued) open_.emplace(opcode);
    watch_marks();
    return admitted;
}

std::size_t SendQueue::abandon_message() noexcept {
    if (!open_) return 0;
    const std::size_t before = messages_;
    for (; after_.runs > 0; --after_.runs) {
        uncount(runs_.back());
        runs_.pop_back();
    }
    after_.bytes = 0;
    end_message();
    return before - messages_ + 1;
}

/// Puts a part before what is after the open message, and anything else at the end.
void SendQueue::add(Run run) {
    if (!run.has_parts) {
        runs_.push_back(std::move(run));
        if (open_) ++after_.runs;
    } else if (after_.runs == 0) {
        runs_.push_back(std::move(run));
    } else {
        runs_.insert(runs_.end() - static_cast<std::ptrdiff_t>(after_.runs), std::move(run));
    }
}

/// The run after which one of this kind is added; null: there is none.
SendQueue::Run* SendQueue::last_run(SendKind kind) noexcept {
    if (is_after(kind)) return after_.runs > 0 ? &runs_.back() : nullptr;
    return runs_.size() > after_.runs ? &runs_[runs_.size() - after_.runs - 1] : nullptr;
}

void SendQueue::uncount(const Run& run) noexcept {
    waiting_ -= run.size();
    messages_ -= run.messages;
    memory_ -= run.memory;
}

PushResult SendQueue::push_control(Bytes frames) {
    if (counted() > limits_.hard_limit) {
        if (limits_.policy == SlowConsumer::close) return {SendStatus::closed, 0, true};
        return {SendStatus::dropped};
    }
    controls_.insert(controls_.end(), frames.begin(), frames.end());
    watch_marks();
    return {};
}

PushResult SendQueue::push_close(Bytes frame) {
    if (std::exchange(close_pushed_, true)) return {SendStatus::closed};
    takes_messages_ = false;
    close_.assign(frame.begin(), frame.end());
    watch_marks();
    return {};
}

/// Applies the policy before a message is queued. The message may be queued if the status of the result is `queued`.
PushResult SendQueue::admit(SendKind kind) {
    const bool after = is_after(kind);
    const bool is_marked = kind == SendKind::message && !after;
    const std::size_t limit = is_marked ? std::min(limits_.high_mark, limits_.hard_limit) : limits_.hard_limit;
    const auto load = [&] { return after ? delayed() : counted(); };
    PushResult result;
    if (load() <= limit) return result;
    // Without a part, the message would be another one.
    const auto no_place = [&]() -> PushResult {
        if (is_part(kind)) return {SendStatus::closed, result.dropped, true};
        return {SendStatus::dropped, result.dropped + 1};
    };
    switch (limits_.policy) {
        case SlowConsumer::close:
            return {SendStatus::closed, 0, true};
        case SlowConsumer::drop_newest:
            return no_place();
        case SlowConsumer::drop_oldest:
            while (load() > limit && drop_oldest(after)) ++result.dropped;
            break;
        case SlowConsumer::keep_latest:
            result.dropped = drop_waiting(after);
            break;
    }
    // Bytes in flight cannot be dropped. If they alone are over the hard limit, no message is added.
    return load() > limits_.hard_limit ? no_place() : result;
}

/// Makes the rest of a message that was partly taken a separate run at the front. It must not be dropped.
void SendQueue::isolate_begun() {
    if (!begun_ || runs_.front().messages == 1) return;
    Run whole = std::move(runs_.front());
    const std::size_t rest = first_message_size(whole.frames);
    const std::size_t others = std::min(whole.memory, whole.frames.size() - rest);
    runs_.front() = Run{whole.owner, whole.frames.subspan(rest), whole.messages - 1, others};
    runs_.emplace_front(std::move(whole.owner), whole.frames.first(rest), 1U, whole.memory - others);
}

/// The runs after the open message, or those before its end, without a message that was partly taken.
auto SendQueue::waiting_runs(bool after) -> std::pair<RunPlace, RunPlace> {
    isolate_begun();
    const auto border = runs_.end() - static_cast<std::ptrdiff_t>(after_.runs);
    if (after) return {border, runs_.end()};
    return {std::next(runs_.begin(), begun_ ? 1 : 0), border};
}

/// Drops the message that waits longest, of those after the open message, or of the others. False if there is none that
/// may be dropped.
bool SendQueue::drop_oldest(bool after) {
    const auto [first, last] = waiting_runs(after);
    const auto victims = std::find_if(first, last, [](const Run& run) { return run.may_be_dropped(); });
    if (victims == last) return false;
    const std::size_t size = victims->is_apart ? victims->size() : first_message_size(victims->frames);
    waiting_ -= size;
    --messages_;
    if (after) after_.bytes -= size;
    if (!victims->is_apart) victims->frames = victims->frames.subspan(size);
    const std::size_t freed = --victims->messages == 0 ? victims->memory : std::min(size, victims->memory);
    memory_ -= freed;
    victims->memory -= freed;
    if (victims->messages > 0) return true;
    runs_.erase(victims);
    if (after) --after_.runs;
    return true;
}

/// Drops all messages after the open one, or all others of which no frame was taken, except those in parts. Returns
/// their number.
std::size_t SendQueue::drop_waiting(bool after) {
    const std::size_t before = messages_;
    const auto [first, last] = waiting_runs(after);
    const auto dropped = std::remove_if(first, last, [this](const Run& run) {
        if (run.may_be_dropped()) uncount(run);
        return run.may_be_dropped();
    });
    runs_.erase(dropped, last);
    if (after) after_.runs = after_.bytes = 0;
    return before - messages_;
}

std::size_t SendQueue::discard() noexcept {
    takes_messages_ = false;
    begun_ = false;
    if (std::exchange(open_, std::nullopt)) ++messages_;
    after_ = {};
    runs_.clear();
    controls_.clear();
    waiting_ = memory_ = shared_begun_ = spared_ = 0;
    if (in_flight_ == 0) shared_sent_ = 0;
    watch_marks();
    return std::exchange(messages_, 0);
}

void SendQueue::push_raw(Bytes bytes) {
    if (bytes.empty() || !takes_messages_) return;
    assert(messages_ == 0);
    append_copy(bytes, SendKind::reply, 0);
    waiting_ += bytes.size();
    watch_marks();
}

void SendQueue::push_raw_shared(const std::shared_ptr<const void>& owner, Bytes bytes) {
    if (bytes.empty() || !takes_messages_) return;
    assert(messages_ == 0);
    add(Run{owner, bytes, 0U, bytes.size()});
    memory_ += bytes.size();
    waiting_ += bytes.size();
    watch_marks();
}

void SendQueue::append_copy(Bytes frames, SendKind kind, std::uint32_t messages) {
    if (block_capacity_ - block_size_ < frames.size()) {
        const std::size_t capacity = std::max(frames.size(), std::clamp(bytes(), smallest_block, largest_block));
        block_ = std::make_shared_for_overwrite<std::uint8_t[]>(capacity);
        block_capacity_ = capacity;
        block_size_ = 0;
    }
    std::uint8_t* const place = block_.get() + block_size_;
    std::memcpy(place, frames.data(), frames.size());
    block_size_ += frames.size();
    Run* const last = last_run(kind);
    const bool are_frames = messages > 0 || is_part(kind);
    const bool is_same =
        last != nullptr && !last->is_apart && last->has_parts == is_part(kind) && last->are_frames() == are_frames;
    if (is_same && last->frames.data() + last->frames.size() == place) {
        last->frames = {last->frames.data(), last->frames.size() + frames.size()};
        last->messages += messages;
        last->memory += frames.size();
    } else {
        add(Run{block_, Bytes{place, frames.size()}, messages, frames.size(), is_part(kind)});
    }
    memory_ += frames.size();
}

bool SendQueue::take(std::size_t max_bytes, std::vector<SendPiece>& batch) {
    assert(in_flight_ == 0);
    if (!controls_.empty()) hand_out(std::exchange(controls_, {}), batch);
    while (runs_.size() > after_.runs && (in_flight_ == 0 || in_flight_ < max_bytes)) {
        const std::size_t space = max_bytes - std::min(in_flight_, max_bytes);
        if (runs_.front().is_apart) {
            if (!take_apart(space, batch)) break;
            continue;
        }
        SendPiece piece = take_from_front(space, in_flight_ == 0);
        if (piece.bytes.empty()) break;
        in_flight_ += piece.bytes.size();
        batch.push_back(std::move(piece));
    }
    if (runs_.empty() && !close_.empty()) hand_out(std::exchange(close_, {}), batch);
    watch_marks();
    return in_flight_ != 0;
}

void SendQueue::hand_out(std::vector<std::uint8_t> bytes, std::vector<SendPiece>& batch) {
    const auto owner = std::make_shared<const std::vector<std::uint8_t>>(std::move(bytes));
    batch.push_back({*owner, owner});
    in_flight_ += owner->size();
    memory_in_flight_ += owner->size();
}

/// Takes as many complete frames of the first run as fit. If none fits and `at_least_one` is set, takes one frame.
SendPiece SendQueue::take_from_front(std::size_t max_bytes, bool at_least_one) {
    Run& front = runs_.front();
    const auto memory_leaves = [&] {
        memory_ -= front.memory;
        memory_in_flight_ += front.memory;
    };
    if (front.frames.size() <= max_bytes) {
        SendPiece piece{front.frames, std::move(front.owner)};
        memory_leaves();
        waiting_ -= front.frames.size();
        messages_ -= front.messages;
        begun_ = false;
        shared_begun_ = 0;
        runs_.pop_front();
        return piece;
    }
    if (!front.are_frames()) return take_raw(max_bytes);
    std::size_t taken = 0;
    std::uint32_t ended = 0;
    for (;;) {
        const FrameExtent frame = first_frame(front.frames.subspan(taken));
        if (taken + frame.size > max_bytes && !(at_least_one && taken == 0)) break;
        taken += frame.size;
        begun_ = !frame.ends_message && !front.has_parts;
        if (frame.ends_message) ++ended;
        if (taken == front.frames.size()) break;
    }
    SendPiece piece{front.frames.first(taken), front.owner};
    front.frames = front.frames.subspan(taken);
    front.messages -= ended;
    waiting_ -= taken;
    messages_ -= ended;
    if (front.memory == 0) shared_begun_ += taken;
    if (front.frames.empty()) {
        memory_leaves();
        shared_begun_ = 0;
        runs_.pop_front();
    }
    return piece;
}

/// The same for a message whose frames are not in one place. Returns false if none was taken.
bool SendQueue::take_apart(std::size_t max_bytes, std::vector<SendPiece>& batch) {
    Run& front = runs_.front();
    std::size_t taken = 0;
    for (; !front.apart.empty(); front.apart = front.apart.subspan(1)) {
        const MessageFrames::Frame& frame = front.apart.front();
        if (taken + frame.size() > max_bytes && in_flight_ + taken > 0) break;
        batch.push_back({frame.header(), front.owner});
        batch.push_back({frame.payload, front.owner});
        taken += frame.size();
    }
    waiting_ -= taken;
    in_flight_ += taken;
    begun_ = taken > 0 || begun_;
    if (front.memory == 0) shared_begun_ += taken;
    if (!front.apart.empty()) return taken > 0;
    memory_ -= front.memory;
    memory_in_flight_ += front.memory;
    --messages_;
    begun_ = false;
    shared_begun_ = 0;
    runs_.pop_front();
    return true;
}

/// Bytes that are not frames may be cut anywhere. Precondition: the first run has more than `max_bytes` of them.
SendPiece SendQueue::take_raw(std::size_t max_bytes) {
    Run& front = runs_.front();
    SendPiece piece{front.frames.first(max_bytes), front.owner};
    front.frames = front.frames.subspan(max_bytes);
    waiting_ -= max_bytes;
    return piece;
}

void SendQueue::watch_marks() noexcept {
    charge_.set(memory());
    spared_ = std::min(spared_, may_leave());
    if (may_leave() > limits_.high_mark) {
        holds_reading_ = wants_drained_ = true;
    } else if (may_leave() <= limits_.high_mark / 2) {
        holds_reading_ = false;
    }
}

}  // namespace wsserver
