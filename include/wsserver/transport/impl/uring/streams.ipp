// The pages of streams: a page has 101 places of the size of a stream.
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
            if (UringStream* const stream = at(i)) destroy(*stream);
        }
    }

    static Page& of(UringStream& stream) noexcept {
        static_assert(std::is_standard_layout_v<Page>);  // so that it has the address of its first place
        return *std::launder(reinterpret_cast<Page*>(reinterpret_cast<Place*>(&stream) - stream.place()));
    }

    bool is_empty() const noexcept { return count_ == 0; }
    bool is_full() const noexcept { return count_ == places; }

    /// Precondition: the page is not full.
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

    UringStream* find_deferred() noexcept {
        for (std::uint8_t i = 0; i < places; ++i) {
            UringStream* const stream = at(i);
            if (stream != nullptr && stream->is_deferred()) return stream;
        }
        return nullptr;
    }

    void requests_lost() {
        for (std::uint8_t i = 0; i < places; ++i) {
            if (UringStream* const stream = at(i)) stream->requests_lost();
        }
    }

   private:
    friend Pages;

    struct Place {
        alignas(UringStream) std::byte bytes[sizeof(UringStream)];
    };
    /// With the other members and the header of the allocator, a page takes 4 KiB.
    static constexpr std::size_t places = 101;
    static_assert(places > 64 && places < 128);  // taken_ has two words

    static constexpr std::uint64_t all = ~std::uint64_t{0};
    static constexpr std::uint64_t bit(std::uint8_t place) noexcept { return std::uint64_t{1} << place % 64U; }

    UringStream* at(std::uint8_t place) noexcept {
        if ((taken_[place / 64U] & bit(place)) == 0) return nullptr;
        return std::launder(reinterpret_cast<UringStream*>(&places_[place]));
    }

    /// Searches from the place after the last one, so that a free place is not reused soon. Until then the address
    /// sanitizer detects accesses to the destroyed stream.
    std::uint8_t free_place() noexcept {
        std::size_t word = search_from_ / 64U;
        std::uint64_t free = ~taken_[word] & all << search_from_ % 64U;
        while (free == 0) {
            word = (word + 1) % taken_.size();
            free = ~taken_[word];
        }
        const auto place = static_cast<std::uint8_t>(64 * word + static_cast<unsigned>(std::countr_zero(free)));
        search_from_ = static_cast<std::uint8_t>((place + 1U) % places);
        return place;
    }

    std::array<Place, places> places_;
    std::array<std::uint64_t, 2> taken_{0, all << (places - 64)};  // a bit per place; the bits after the last are set
    Page* previous_ = nullptr;                                     // in its list of pages
    Page* next_ = nullptr;
    std::uint8_t count_ = 0;
    std::uint8_t search_from_ = 0;
};

// --- Pages ---

std::size_t UringStreams::Pages::count() const noexcept {
    std::size_t count = 0;
    for (const Page* page = first; page != nullptr; page = page->next_) ++count;
    return count;
}

void UringStreams::Pages::requests_lost() const {
    for (Page* page = first; page != nullptr; page = page->next_) page->requests_lost();
}

UringStream* UringStreams::Pages::find_deferred() const noexcept {
    for (Page* page = first; page != nullptr; page = page->next_) {
        if (UringStream* const found = page->find_deferred()) return found;
    }
    return nullptr;
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
    partial_.delete_all();
    full_.delete_all();
}

std::size_t UringStreams::pages() const noexcept { return partial_.count() + full_.count() + (spare_ ? 1 : 0); }

UringStream& UringStreams::make(UringLoop& loop, Descriptor socket) {
    if (partial_.first == nullptr) partial_.add(spare_ ? *spare_.release() : *new Page);
    Page& page = *partial_.first;
    UringStream& stream = page.make(loop, std::move(socket));
    ++count_;
    if (page.is_full()) {
        partial_.remove(page);
        full_.add(page);
    }
    return stream;
}

void UringStreams::requests_lost() {
    partial_.requests_lost();
    full_.requests_lost();
}

UringStream* UringStreams::find_deferred() const noexcept {
    UringStream* const found = partial_.find_deferred();
    return found != nullptr ? found : full_.find_deferred();
}

void UringStreams::destroy(UringStream& stream) noexcept {
    Page& page = Page::of(stream);
    if (page.is_full()) {
        full_.remove(page);
        partial_.add(page);
    }
    page.destroy(stream);
    --count_;
    if (page.is_empty()) {
        partial_.remove(page);
        spare_.reset(&page);  // frees the previous spare page
    }
}

}  // namespace wsserver::detail
