#include "routing/router.h"

#include <gmock/gmock.h>

namespace sagebrush::routing {
namespace {

using ::testing::HasSubstr;

InstanceId Id(const std::string& name) { return InstanceId(name); }

std::map<std::string, int> Count(Router& router, int calls) {
  std::map<std::string, int> counts;
  for (int call = 0; call < calls; ++call) {
    Result<Router::Choice> choice = router.Choose("e");
    if (choice) ++counts[choice->variant()];
  }
  return counts;
}

TEST(Router, SharesRequestsByWeightExactly) {
  Router router;
  router.Set("e", {{"a", 0.7, {Id("1")}}, {"b", 0.2, {Id("2")}}, {"c", 0.1, {Id("3")}}, {"none", 0, {Id("4")}}});
  std::map<std::string, int> counts = Count(router, 10'000);
  EXPECT_NEAR(counts["a"], 7000, 1);
  EXPECT_NEAR(counts["b"], 2000, 1);
  EXPECT_NEAR(counts["c"], 1000, 1);
  EXPECT_EQ(counts.count("none"), 0U);
}

TEST(Router, SharesStayExactWhenTheRouterIsToldAnewBetweenRequests) {
  Router router;
  std::map<std::string, int> counts;
  for (int call = 0; call < 100; ++call) {
    router.Set("e", {{"a", 0.9, {Id("1"), Id("2")}}, {"b", 0.1, {Id("3")}}});
    Router::Choice choice = *router.Choose("e");
    ++counts[choice.variant() == "a" ? choice.instance().value() : "b"];
  }
  EXPECT_EQ(counts, (std::map<std::string, int>{{"1", 45}, {"2", 45}, {"b", 10}}));
  router.Set("e", {{"a", 0.5, {Id("1")}}, {"b", 0.5, {Id("3")}}});
  EXPECT_EQ(Count(router, 10)["b"], 5);
}

TEST(Router, AVariantWithoutInstancesLeavesItsShareToTheOthers) {
  Router router;
  router.Set("e", {{"a", 1, {}}, {"b", 1, {Id("2")}}});
  EXPECT_EQ(Count(router, 10)["b"], 10);
}

TEST(Router, ChoosesTheInstanceWithTheFewestRequestsUnderWay) {
  Router router;
  router.Set("e", {{"a", 1, {Id("1"), Id("2"), Id("3")}}});
  Router::Choice first = *router.Choose("e");
  Router::Choice second = *router.Choose("e");
  Router::Choice third = *router.Choose("e");
  EXPECT_NE(first.instance(), second.instance());
  EXPECT_NE(second.instance(), third.instance());
  EXPECT_NE(first.instance(), third.instance());
  InstanceId free = second.instance();
  {
    Router::Choice ended = std::move(second);
  }
  EXPECT_EQ(router.Choose("e")->instance(), free);
}

TEST(Router, AvoidsInstancesUnlessThereAreNoOthers) {
  Router router;
  router.Set("e", {{"a", 1, {Id("1"), Id("2")}}});
  Router::Choice busy = *router.Choose("e", std::nullopt, {Id("1")});
  EXPECT_EQ(busy.instance(), Id("2"));
  EXPECT_EQ(router.Choose("e", std::nullopt, {Id("1")})->instance(), Id("2")) << "although it has more to do";
  EXPECT_EQ(router.Choose("e", std::nullopt, {Id("1"), Id("2")})->instance(), Id("1"));
}

TEST(Router, CountsRequestsOfInstancesThatWereTakenAway) {
  Router router;
  router.Set("e", {{"a", 1, {Id("1")}}});
  {
    Router::Choice choice = *router.Choose("e");
    router.Set("e", {{"a", 1, {Id("2")}}});
    EXPECT_EQ(router.outstanding(Id("1")), 1);
    EXPECT_EQ(router.Choose("e")->instance(), Id("2"));
    EXPECT_EQ(router.answered_ms(Id("1")), 0);
    choice.Answered();
    EXPECT_GT(router.answered_ms(Id("1")), 0);
  }
  EXPECT_EQ(router.outstanding(Id("1")), 0);
}

TEST(Router, SaysWhatIsMissing) {
  Router router;
  EXPECT_EQ(router.Choose("e").error().kind, ErrorKind::kNotFound);
  router.Set("e", {{"a", 1, {}}});
  EXPECT_EQ(router.Choose("e").error().kind, ErrorKind::kUnavailable);
  EXPECT_EQ(router.Choose("e", "b").error().kind, ErrorKind::kInvalidArgument);
  router.Remove("e");
  EXPECT_THAT(router.Choose("e").error().message, HasSubstr("not in service"));
}

}  // namespace
}  // namespace sagebrush::routing
