// Reads the vectors of docs/formats/ring.md, so that the document and the code cannot part.

#include <gtest/gtest.h>
#include <xxhash.h>

#include <cstdint>
#include <fstream>
#include <iomanip>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "common/ring/hash.h"
#include "common/ring/ring.h"
#include "tests/ring/clusters.h"

namespace ringfs {
namespace {

std::string Hex(uint64_t value) {
  std::ostringstream text;
  text << std::hex << std::setw(16) << std::setfill('0') << value;
  return text.str();
}

std::string Digest(const WantedTable& table) {
  std::string bytes;
  for (const std::vector<ServerId>& members : table) {
    for (ServerId member : members) {
      for (int shift = 0; shift < 32; shift += 8) {
        bytes.push_back(static_cast<char>(Raw(member) >> shift));
      }
    }
  }
  return Hex(XXH3_64bits(bytes.data(), bytes.size()));
}

std::string List(const std::vector<ServerId>& members) {
  std::string text;
  for (ServerId member : members) text += (text.empty() ? "" : ",") + std::to_string(Raw(member));
  return text;
}

// One `cluster` of the document and what was computed from it.
struct Cluster {
  PoolShape shape;
  std::string previous;  // the name of another cluster, or "none"
  std::vector<RingServer> servers;
  WantedTable table;
};

// Reads the lines one after the other; every line is an assertion or part of a cluster.
class Vectors {
 public:
  void Read(const std::string& line) {
    SCOPED_TRACE(line);
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    if (kind == "cluster") {
      ReadCluster(words);
    } else if (kind == "server") {
      ReadServer(words);
    } else if (kind == "share" || kind == "members" || kind == "digest") {
      CheckTable(kind, words);
    } else {
      CheckHash(kind, words);
    }
    EXPECT_FALSE(words.fail());
    ++lines_;
  }

  int lines() const { return lines_; }

 private:
  void ReadCluster(std::istringstream& words) {
    Cluster cluster;
    uint32_t pool = 0;
    std::string key;
    words >> name_ >> key >> pool >> key >> cluster.shape.replicas >> key >>
        cluster.shape.bucket_bits >> key >> cluster.previous;
    cluster.shape.pool = PoolId{pool};
    clusters_[name_] = cluster;
  }

  void ReadServer(std::istringstream& words) {
    RingServer server;
    uint32_t id = 0;
    words >> id >> std::quoted(server.identity) >> std::quoted(server.zone) >>
        std::quoted(server.host) >> server.weight;
    server.id = ServerId{id};
    clusters_[name_].servers.push_back(server);
  }

  const WantedTable& Table() {
    Cluster& cluster = clusters_[name_];
    if (cluster.table.empty()) {
      cluster.table = Place(cluster.shape, cluster.servers, clusters_[cluster.previous].table);
    }
    return cluster.table;
  }

  void CheckTable(const std::string& kind, std::istringstream& words) {
    if (kind == "share") {
      size_t position = 0;
      uint64_t fair = 0;
      uint32_t accepts = 0;
      uint32_t keeps = 0;
      words >> position >> fair >> accepts >> keeps;
      Result<std::vector<ServerShare>> shares =
          ServerShares(clusters_[name_].shape, clusters_[name_].servers);
      ASSERT_TRUE(shares);
      ASSERT_LT(position, shares->size());
      const ServerShare& share = (*shares)[position];
      EXPECT_EQ(share.fair, fair);
      EXPECT_EQ(share.accepts, accepts);
      EXPECT_EQ(share.keeps, keeps);
      return;
    }
    std::string expected;
    if (kind == "digest") {
      words >> expected;
      EXPECT_EQ(Digest(Table()), expected);
      return;
    }
    size_t bucket = 0;
    words >> bucket >> expected;
    ASSERT_LT(bucket, Table().size());
    EXPECT_EQ(List(Table()[bucket]), expected);
  }

  void CheckHash(const std::string& kind, std::istringstream& words) {
    uint64_t number = 0;
    uint32_t second = 0;
    std::string text;
    std::string expected;
    if (kind == "block") {
      words >> number >> second >> expected;
      EXPECT_EQ(Hex(ring::HashBlock(DataId{number}, second)), expected);
    } else if (kind == "bucket") {
      uint32_t bits = 0;
      uint32_t bucket = 0;
      words >> number >> second >> bits >> bucket;
      EXPECT_EQ(Raw(BucketOf(DataId{number}, second, bits)), bucket);
    } else if (kind == "identity") {
      words >> std::quoted(text) >> expected;
      EXPECT_EQ(Hex(ring::HashIdentity(text)), expected);
    } else if (kind == "point") {
      words >> std::quoted(text) >> second >> expected;
      EXPECT_EQ(Hex(ring::HashPoint(ring::HashIdentity(text), second)), expected);
    } else if (kind == "bucket-point") {
      words >> number >> second >> expected;
      EXPECT_EQ(Hex(ring::HashBucket(PoolId{static_cast<uint32_t>(number)}, second)), expected);
    } else {
      ADD_FAILURE() << "unknown kind of line";
    }
  }

  std::string name_;
  std::map<std::string, Cluster> clusters_;
  int lines_ = 0;
};

TEST(GoldenVectors, OfTheDocumentHold) {
  std::ifstream document(RINGFS_RING_DOCUMENT);
  ASSERT_TRUE(document) << RINGFS_RING_DOCUMENT;
  Vectors vectors;
  bool inside = false;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with("```")) {
      inside = line == "```ring-vectors";
    } else if (inside && !line.empty()) {
      vectors.Read(line);
    }
  }
  EXPECT_GT(vectors.lines(), 50);
}

}  // namespace
}  // namespace ringfs
