#include "control/training_job_table.h"

#include "base/failpoint.h"
#include "control/list_query.h"
#include "control/tag_table.h"
#include "wire/json.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

Error UnknownJob() {
  return Error(ErrorKind::kInvalidArgument, "Requested resource not found.", "ValidationException");
}

Result<TrainingJobRecord> ReadRecord(const db::Row& row) {
  TrainingJobRecord record;
  TRY(record.request, wire::FromJson<sm::CreateTrainingJobRequest>(row.Text(0)));
  TRY(record.state, domain::TrainingJobStateFromJson(row.Text(1)));
  return record;
}

}  // namespace

Result<void> TrainingJobTable::Insert(const TrainingJobRecord& record, const std::string& arn,
                                      const std::string& invocation_id) {
  const std::string& name = record.request.TrainingJobName;
  FAILPOINT("control.create.before_commit");
  TRYV(database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRY(auto existing, tx.Query("SELECT invocation_id FROM training_jobs WHERE name = ?", {name}));
    if (!existing.empty()) {
      if (!invocation_id.empty() && existing[0].Text(0) == invocation_id) return {};
      return Fail(Error(ErrorKind::kAlreadyExists,
                        "Training job names must be unique within an AWS account and region, and a training job with "
                        "this name already exists (" +
                            arn + ")",
                        "ResourceInUse"));
    }
    TRYV(
        tx.Execute("INSERT INTO training_jobs (name, status, created_ms, modified_ms, active, invocation_id, request, "
                   "state) VALUES (?, ?, ?, ?, 1, ?, ?, ?)",
                   {name, std::string(ToString(record.state.status)), record.state.created_ms, record.state.modified_ms,
                    invocation_id, wire::ToJson(record.request), domain::ToJson(record.state)}));
    return SetTags(tx, arn, record.request.Tags);
  }));
  FAILPOINT("control.create.after_commit");
  return {};
}

Result<TrainingJobRecord> TrainingJobTable::Get(const JobName& name) {
  std::vector<db::Row> rows;
  TRYV(database_.Read([&](db::Transaction& tx) -> Result<void> {
    TRY(rows, tx.Query("SELECT request, state FROM training_jobs WHERE name = ?", {name.value()}));
    return {};
  }));
  if (rows.empty()) return Fail(UnknownJob());
  return ReadRecord(rows[0]);
}

Result<std::vector<JobName>> TrainingJobTable::Active() {
  std::vector<JobName> names;
  TRYV(database_.Read([&](db::Transaction& tx) {
    return tx.ForEach("SELECT name FROM training_jobs WHERE active = 1 ORDER BY created_ms, name", {},
                      [&names](const db::Row& row) {
                        names.emplace_back(row.Text(0));
                        return true;
                      });
  }));
  return names;
}

Result<sm::ListTrainingJobsResponse> TrainingJobTable::List(
    const sm::ListTrainingJobsRequest& request, const std::function<std::string(const std::string&)>& arn_of) {
  TRY(ListPage page,
      ReadListPage(database_, "training_jobs", "name, created_ms, modified_ms, state", ListOptionsOf(request)));
  sm::ListTrainingJobsResponse response;
  response.NextToken = std::move(page.next_token);
  for (const db::Row& row : page.rows) {
    TRY(domain::TrainingJobState state, domain::TrainingJobStateFromJson(row.Text(3)));
    sm::TrainingJobSummary summary;
    summary.TrainingJobName = row.Text(0);
    summary.TrainingJobArn = arn_of(row.Text(0));
    summary.CreationTime.ms = row.Int(1);
    summary.LastModifiedTime = wire::Timestamp{row.Int(2)};
    if (IsFinal(state.status)) {
      summary.TrainingEndTime =
          wire::Timestamp{state.training_ended_ms != 0 ? state.training_ended_ms : state.modified_ms};
    }
    summary.TrainingJobStatus = ToString(state.status);
    summary.SecondaryStatus = std::string(ToString(state.secondary()));
    response.TrainingJobSummaries.push_back(std::move(summary));
  }
  return response;
}

Result<domain::TrainingJobState> TrainingJobTable::Update(const JobName& name, const Change& change,
                                                          std::vector<std::string> intents) {
  domain::TrainingJobState state;
  TRYV(database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRY(auto rows, tx.Query("SELECT state FROM training_jobs WHERE name = ?", {name.value()}));
    if (rows.empty()) return Fail(UnknownJob());
    TRY(state, domain::TrainingJobStateFromJson(rows[0].Text(0)));
    TRYV(change(state));
    bool active = !IsFinal(state.status) || !state.instances_destroyed;
    TRYV(tx.Execute("UPDATE training_jobs SET status = ?, modified_ms = ?, active = ?, state = ? WHERE name = ?",
                    {std::string(ToString(state.status)), state.modified_ms, static_cast<int64_t>(active),
                     domain::ToJson(state), name.value()}));
    for (const std::string& intent : intents) {
      TRYV(
          tx.Execute("INSERT INTO intents (id, job, epoch, committed_ms) VALUES (?, ?, ?, ?) "
                     "ON CONFLICT (id) DO NOTHING",
                     {intent, name.value(), database_.epoch().value, state.modified_ms}));
    }
    return {};
  }));
  return state;
}

}  // namespace sagebrush::control
