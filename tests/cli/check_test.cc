#include "cli/commands/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/json.h"
#include "proto/scrub.pb.h"
#include "proto/session.pb.h"
#include "tests/cli/fake_server.h"

namespace ringfs::cli {
namespace {

using ::testing::HasSubstr;

class CheckTest : public ::testing::Test {
 protected:
  Result<Finding> Scrubbed(Output output) {
    return Scrub(master_, output, [](const std::string&) {});
  }

  FakeServer server_;
  Master master_{{server_.address()}};
};

TEST_F(CheckTest, FindsNoChunkserver) {
  server_.Answer(wire::MASTER_SCRUB, wire::ScrubReply());

  const auto finding = Scrubbed(Output::kText);

  ASSERT_TRUE(finding) << finding.error().ToString();
  EXPECT_EQ(finding->verdict.code(), Errc::kUnavailable);
}

TEST_F(CheckTest, WaitsForItsOwnPassOfEachServer) {
  wire::ScrubPass pass;
  pass.set_blocks(7);
  pass.set_bad(3);
  pass.set_repaired(2);
  server_.AnswerWith(wire::MASTER_SCRUB, [&, asked = 0](const std::string& body) mutable {
    wire::ScrubRequest request;
    EXPECT_TRUE(request.ParseFromString(body));
    wire::ScrubReply reply;
    wire::ServerScrub& server = *reply.add_servers();
    server.set_server(4);
    pass.set_order(request.order() ^ 1);  // another's
    *server.mutable_report()->add_ended() = pass;
    if (++asked == 2) {
      pass.set_order(request.order());
      *server.mutable_report()->add_ended() = pass;
    }
    return reply.SerializeAsString();
  });

  const auto finding = Scrubbed(Output::kJson);

  ASSERT_TRUE(finding) << finding.error().ToString();
  EXPECT_EQ(server_.Calls(wire::MASTER_SCRUB).size(), 2u);
  const Json json = Json::parse(finding->text);
  EXPECT_EQ(json["servers"][0]["server"], 4);
  EXPECT_EQ(json["servers"][0]["bad"], 3);
  EXPECT_EQ(finding->verdict.code(), Errc::kCorrupted);
  EXPECT_THAT(finding->verdict.error().detail, HasSubstr("1 copy"));
}

}  // namespace
}  // namespace ringfs::cli
