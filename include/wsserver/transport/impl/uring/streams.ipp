#pragma once

#include "wsserver/transport/detail/uring/streams.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "wsserver/base/poison.hpp"

namespace wsserver::detail {

class UringStreams::Page {
   public:
    Page() noexcept { poison(&places_, sizeof places_); }
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;
    ~Page() {
        for (std::uint8_t i = 0; i < places; ++i) {
            if ((taken_[i / 64U] & bit(i)) != 0) destroy(*std::launder(reinterpret_cast<UringStream*>(&places_[i])));
        }
    }

    static Page& of(UringStream& stream) noexcept {
        static_assert(std::is_standard_layout_v<Page>);  // it begins where its first place does
        return *std::launder(reinterpret_cast<Page*>(reinterpret_cast<Place*>(&stream) - stream.place()));
    }

    bool is_empty() const noexcept { return count_ == 0; }
    bool is_full() const noexcept { return count_ == places; }

    /// Precondition: it isn't full.
    UringStream& make(UringLoop& loop, Descriptor socket) noexcept {
        const std::uint8_t i = free_place();
        taken_[i / 64U] |= bit(i);
        ++count_;
        unpoison(&places_[i], sizeof(Place));
        return *new (&places_[i]) UringStream(loop, std::move(socket), i);
    }

    void destroy(UringStream& stream) noexcept {
        const std::uint8_t i = stream.place();
        stream.~UringStream();
        poison(&places_[i], sizeof(Place));
        taken_[i / 64U] &= ~bit(i);
        --count_;
    }

   private:
    friend Pages;

    struct Place {
        alignas(UringStream) std::byte bytes[sizeof(UringStream)];
    };
    /// With what is beside them, and with what the allocator adds, four KiB.
    static constexpr std::size_t places = 101;
    static_assert(places > 64 && places < 128);  // for taken_

    static constexpr std::uint64_t all = ~std::uint64_t{0};
    static constexpr std::uint64_t bit(std::uint8_t place) noexcept { return std::uint64_t{1} << place % 64U; }

    /// Goes round, so that a place isn't taken again soon: until then the address sanitizer sees who still uses it.
    std::uint8_t free_place() noexcept {
        std::size_t word = look_at_ / 64U;
        std::uint64_t free = ~taken_[word] & all << look_at_ % 64U;
        while (free == 0) {
            word = (word + 1) % taken_.size();
            free = ~taken_[word];
        }
        const auto place = static_cast<std::uint8_t>(64 * word + static_cast<unsigned>(std::countr_zero(free)));
        look_at_ = static_cast<std::uint8_t>((place + 1U) % places);
        return place;
    }

    std::array<Place, places> places_;
    std::array<std::uint64_t, 2> taken_{0, all << (places - 64)};  // a bit each; what is no place counts as taken
    Page* previous_ = nullptr;                                     // in the list that it is in
    Page* next_ = nullptr;
    std::uint8_t count_ = 0;
    std::uint8_t look_at_ = 0;
};

// --- Pages ---

std::size_t UringStreams::Pages::count() const noexcept {
    std::size_t count = 0;
    for (const Page* page = first; page != nullptr; page = page->next_) ++count;
    return count;
}

void UringStreams::Pages::add(Page& page) noexcept {
    page.previous_ = nullptr;
    page.next_ = first;
    if (first != nullptr) first->previous_ = &page;
    first = &page;
}

void UringStreams::Pages::remove(Page& page) noexcept {
    (page.previous_ != nullptr ? page.previous_->next_ : first) = page.next_;
    if (page.next_ != nullptr) page.next_->previous_ = page.previous_;
}

void UringStreams::Pages::delete_all() noexcept {
    while (first != nullptr) {
        const std::unique_ptr<Page> page{first};
        remove(*page);
    }
}

// --- UringStreams ---

UringStreams::UringStreams() noexcept = default;

UringStreams::~UringStreams() {
    static_assert(sizeof(Page) <= 4080);
    with_room_.delete_all();
    full_.delete_all();
}

std::size_t UringStreams::pages() const noexcept { return with_room_.count() + full_.count() + (spare_ ? 1 : 0); }

UringStream& UringStreams::make(UringLoop& loop, Descriptor socket) {
    if (with_room_.first == nullptr) with_room_.add(spare_ ? *spare_.release() : *new Page);
    Page& page = *with_room_.first;
    UringStream& stream = page.make(loop, std::move(socket));
    ++count_;
    if (page.is_full()) {
        with_room_.remove(page);
        full_.add(page);
    }
    return stream;
}

void UringStreams::destroy(UringStream& stream) noexcept {
    Page& page = Page::of(stream);
    if (page.is_full()) {
        full_.remove(page);
        with_room_.add(page);
    }
    page.destroy(stream);
    --count_;
    if (page.is_empty()) {
        with_room_.remove(page);
        spare_.reset(&page);  // the one before is given back
    }
}

}  // namespace wsserver::detail
