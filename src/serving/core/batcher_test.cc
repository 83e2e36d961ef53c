#include "serving/core/batcher.h"

#include <gmock/gmock.h>

#include <future>
#include <thread>

#include "serving/testing/fake_backend.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using testing::Floats;

// A model that adds 1, can be held, and remembers the rows of each run.
class Model {
 public:
  Result<Tensors> Run(std::span<const Tensor> inputs) {
    {
      std::unique_lock lock(mutex_);
      ++running_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
      runs.push_back(inputs[0].shape()[0]);
    }
    static std::atomic<int> ignored = 0;
    return testing::FakeSession(1, ignored).Run("", inputs, {});
  }
  void Hold() { held_ = true; }
  void AwaitRunning(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return running_ >= count; });
  }
  void Release() {
    std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  std::vector<int64_t> runs;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int running_ = 0;
};

class BatcherTest : public ::testing::Test {
 protected:
  void Make(BatchingParameters parameters) {
    parameters.num_batch_threads = 1;
    batcher_ = std::make_shared<Batcher>(
        parameters, 1, [this](std::span<const Tensor> inputs, std::span<const size_t>) { return model_.Run(inputs); },
        [](size_t) {});
  }
  std::future<Result<Tensors>> Ask(std::vector<float> values, RequestContext context = {}) {
    auto promise = std::make_shared<std::promise<Result<Tensors>>>();
    std::future<Result<Tensors>> answer = promise->get_future();
    batcher_->Run({.inputs = {Floats(std::move(values))}, .context = std::move(context)},
                  [promise](Result<Tensors> outputs) { promise->set_value(std::move(outputs)); });
    return answer;
  }
  // Occupies the only batch thread until the model is released.
  std::jthread Occupy() {
    model_.Hold();
    std::jthread leader([this] { Ask({0}).get(); });
    model_.AwaitRunning(1);
    return leader;
  }
  static std::vector<float> Values(std::future<Result<Tensors>>& answer) {
    Result<Tensors> outputs = answer.get();
    if (!outputs) return {};
    auto values = (*outputs)[0].values<float>();
    return {values.begin(), values.end()};
  }

  Model model_;
  std::shared_ptr<Batcher> batcher_;
};

TEST_F(BatcherTest, ALoneRequestRunsAtOnceInItsOwnThread) {
  Make({});
  auto answer = Ask({1, 2});
  ASSERT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_THAT(Values(answer), ElementsAre(2, 3));
}

TEST_F(BatcherTest, WhatQueuesUpMeanwhileIsMergedAndTakenApartAgain) {
  Make({});
  std::jthread leader = Occupy();
  auto a = Ask({1}), b = Ask({2, 3}), c = Ask({4});
  model_.Release();
  leader.join();
  EXPECT_THAT(Values(a), ElementsAre(2));
  EXPECT_THAT(Values(b), ElementsAre(3, 4));
  EXPECT_THAT(Values(c), ElementsAre(5));
  EXPECT_THAT(model_.runs, ElementsAre(1, 4));
}

// What has arrived on an event loop is taken in before anything is computed, in one turn of the loop or in several.
TEST_F(BatcherTest, AnEventLoopMergesWhatHasArrived) {
  Make({});
  io::EventLoop loop;
  std::vector<std::future<Result<Tensors>>> answers(4);
  std::promise<void> all_asked;
  auto ask = [&](size_t index) {
    answers[index] = Ask({static_cast<float>(index)}, {.loop = &loop});
    EXPECT_EQ(answers[index].wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  };
  loop.Later([&] {
    ask(0);
    ask(1);
    loop.Later([&] {
      ask(2);
      ask(3);
      all_asked.set_value();
    });
  });
  all_asked.get_future().wait();
  for (size_t index = 0; index < answers.size(); ++index) {
    EXPECT_THAT(Values(answers[index]), ElementsAre(static_cast<float>(index) + 1));
  }
  EXPECT_THAT(model_.runs, ElementsAre(4));
}

// An event loop computes one batch, then turns to what else has become ready.
TEST_F(BatcherTest, AnEventLoopComesBackForWhatDoesNotFit) {
  Make({.max_batch_size = 2});
  io::EventLoop loop;
  std::vector<std::future<Result<Tensors>>> answers;
  std::promise<void> asked;
  loop.Later([&] {
    for (float value : {1.F, 2.F, 3.F}) answers.push_back(Ask({value}, {.loop = &loop}));
    asked.set_value();
  });
  asked.get_future().wait();
  for (auto& answer : answers) EXPECT_EQ(Values(answer).size(), 1U);
  EXPECT_THAT(model_.runs, ElementsAre(2, 1));
}

TEST_F(BatcherTest, ABadRequestFailsAlone) {
  Make({});
  std::jthread leader = Occupy();
  auto good = Ask({1}), bad = Ask({-1}), other = Ask({2});
  model_.Release();
  leader.join();
  EXPECT_THAT(Values(good), ElementsAre(2));
  EXPECT_EQ(bad.get().error().message, "x is negative");
  EXPECT_THAT(Values(other), ElementsAre(3));
}

TEST_F(BatcherTest, AFullQueueRefusesAtOnce) {
  Make({.max_batch_size = 2, .max_enqueued_batches = 1});
  std::jthread leader = Occupy();
  auto a = Ask({1, 2});
  auto refused = Ask({3});
  ASSERT_EQ(refused.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(refused.get().error().kind, ErrorKind::kUnavailable);
  model_.Release();
  leader.join();
  EXPECT_THAT(Values(a), ElementsAre(2, 3));
}

TEST_F(BatcherTest, WorkThatNobodyWaitsForIsDropped) {
  Make({});
  std::jthread leader = Occupy();
  auto late = Ask({1}, {.deadline = std::chrono::steady_clock::now()});
  auto gone = Ask({2}, {.abandoned = [] { return true; }});
  auto kept = Ask({3});
  model_.Release();
  leader.join();
  EXPECT_EQ(late.get().error().kind, ErrorKind::kDeadlineExceeded);
  EXPECT_EQ(gone.get().error().kind, ErrorKind::kCancelled);
  EXPECT_THAT(Values(kept), ElementsAre(4));
  EXPECT_THAT(model_.runs, ElementsAre(1, 1));
}

TEST_F(BatcherTest, PadsUpToAnAllowedSize) {
  Make({.max_batch_size = 4, .allowed_batch_sizes = {2, 4}});
  auto answer = Ask({1, 2, 3});
  EXPECT_THAT(Values(answer), ElementsAre(2, 3, 4));
  EXPECT_THAT(model_.runs, ElementsAre(4));
}

TEST_F(BatcherTest, ARequestLargerThanABatchRunsAloneIsRefusedOrIsSplit) {
  Make({.max_batch_size = 2});
  auto answer = Ask({1, 2, 3});
  EXPECT_THAT(Values(answer), ElementsAre(2, 3, 4));
  Make({.max_batch_size = 2, .refuse_larger_requests = true});
  EXPECT_EQ(Ask({1, 2, 3}).get().error().message, "Task size 3 is larger than maximum input batch size 2");
  Make({.max_batch_size = 2, .refuse_larger_requests = true, .enable_large_batch_splitting = true});
  answer = Ask({1, 2, 3, 4, 5});
  EXPECT_THAT(Values(answer), ElementsAre(2, 3, 4, 5, 6));
  EXPECT_THAT(model_.runs, ElementsAre(3, 2, 2, 1));
}

TEST_F(BatcherTest, PadsRowsOfDifferentLengthsWhereAsked) {
  Make({.pad_variable_length_inputs = true});
  auto matrix = [](Shape shape, float value) {
    Tensor tensor = Tensor::Numeric(DataType::kFloat, std::move(shape));
    std::ranges::fill(tensor.mutable_values<float>(), value);
    return tensor;
  };
  std::jthread leader = Occupy();
  std::promise<Result<Tensors>> short_one, long_one;
  batcher_->Run({.inputs = {matrix({1, 1}, 5)}}, [&](Result<Tensors> outputs) { short_one.set_value(outputs); });
  batcher_->Run({.inputs = {matrix({1, 3}, 7)}}, [&](Result<Tensors> outputs) { long_one.set_value(outputs); });
  model_.Release();
  leader.join();
  EXPECT_THAT((*short_one.get_future().get())[0].values<float>(), ElementsAre(6, 1, 1));
  EXPECT_THAT((*long_one.get_future().get())[0].values<float>(), ElementsAre(8, 8, 8));
  EXPECT_THAT(model_.runs, ElementsAre(1, 2));
}

TEST_F(BatcherTest, ManyThreadsGetTheirOwnAnswers) {
  Make({.max_batch_size = 8});
  std::vector<std::jthread> clients;
  std::atomic<int> wrong = 0;
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([&, client] {
      for (int round = 0; round < 300; ++round) {
        auto value = static_cast<float>(client * 1000 + round);
        auto answer = Ask({value});
        if (Values(answer) != std::vector<float>{value + 1}) ++wrong;
      }
    });
  }
  clients.clear();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace sagebrush::serving
