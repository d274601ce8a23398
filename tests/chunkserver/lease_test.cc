#include "chunkserver/replication/lease.h"

#include <gtest/gtest.h>

namespace ringfs::chunkserver {
namespace {

TEST(Lease, HoldsForThreeQuartersOfItsTimeFromTheSending) {
  Lease lease;
  EXPECT_FALSE(lease.Valid(0));

  lease.Renew(1000, 3000);

  EXPECT_TRUE(lease.Valid(3249));
  EXPECT_FALSE(lease.Valid(3250));
}

TEST(Lease, IsNotShortenedByALateAnswer) {
  Lease lease;
  lease.Renew(2000, 3000);

  lease.Renew(1000, 3000);

  EXPECT_TRUE(lease.Valid(4249));
}

TEST(Lease, CanBeGivenUp) {
  Lease lease;
  lease.Renew(2000, 3000);

  lease.Drop();

  EXPECT_FALSE(lease.Valid(2001));
}

}  // namespace
}  // namespace ringfs::chunkserver
