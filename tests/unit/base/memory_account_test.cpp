#include "wsserver/base/memory_account.hpp"

#include <new>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("an account is the sum of its charges", "[memory_account]") {
    MemoryAccount account;
    {
        MemoryCharge one{&account};
        MemoryCharge other{&account};
        one.set(100);
        other.set(50);
        CHECK(account.read() == 150);
        one.set(10);
        CHECK(account.read() == 60);
    }
    CHECK(account.read() == 0);
    MemoryCharge uncounted;
    uncounted.set(1);
}

TEST_CASE("growth is reported once after each watch()", "[memory_account]") {
    MemoryAccount account;
    int reports = 0;
    account.on_growth([&] { ++reports; });
    account.add(1000);
    CHECK(reports == 0);
    account.watch(1500);
    account.add(499);
    CHECK(reports == 0);
    account.add(1);
    account.add(1000);
    CHECK(reports == 1);
    account.watch(0);
    account.subtract(1000);
    CHECK(reports == 1);
    account.add(0);
    CHECK(reports == 2);
}

TEST_CASE("a report that failed is made again", "[memory_account]") {
    MemoryAccount account;
    int calls = 0;
    account.on_growth([&] {
        if (++calls == 1) throw std::bad_alloc{};
    });
    account.watch(10);
    account.add(10);
    account.add(1);
    account.add(1);
    CHECK(calls == 2);
}
