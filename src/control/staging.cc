#include "control/staging.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "control/instance_groups.h"
#include "control/training_job_request.h"
#include "io/file.h"

namespace sagebrush::control {
namespace fs = std::filesystem;
namespace {

namespace json = boost::json;
namespace sm = gen::sagemaker;

Error Unreadable(const std::string& what, const std::string& uri, const std::string& why) {
  return InvalidArgument("ClientError: Data download failed for " + what + ": " + why + " (" + uri +
                         "). Check the URI with 'aws s3 ls " + uri + "' and start the job again.");
}

Result<void> MakeOwnedDirectory(const fs::path& directory, objstore::BlobOwner owner) {
  TRYV(io::MakeDirectories(directory));
  if (owner.uid != ::geteuid() && ::chown(directory.c_str(), owner.uid, owner.gid) != 0) {
    return Fail(FromErrno(errno, "cannot change the owner of " + directory.string()));
  }
  return {};
}

Result<void> StageChannel(objstore::ObjectStore& objects, const sm::Channel& channel, const fs::path& directory,
                          objstore::BlobOwner owner, ChannelShare share) {
  const sm::S3DataSource& source = *channel.DataSource.S3DataSource;
  TRY(S3Uri uri, ParseS3Uri(source.S3Uri));
  TRYV(MakeOwnedDirectory(directory, owner));
  objstore::Shard shard;
  if (source.S3DataDistributionType.value_or("FullyReplicated") == "ShardedByS3Key") {
    shard = {share.position, share.count};
  }
  std::string what = "channel '" + channel.ChannelName + "'";
  Result<objstore::LinkedPrefix> linked = objects.LinkPrefix(uri.bucket, uri.key, directory, shard);
  if (!linked) return Fail(Unreadable(what, source.S3Uri, WhyUnreadable(linked.error())));
  // A share may be empty; the whole may not.
  if (linked->files == 0) {
    Result<objstore::ListResult> any = objects.List(uri.bucket, {.prefix = uri.key, .max_keys = 1});
    if (!any || any->objects.empty()) {
      return Fail(Unreadable(what, source.S3Uri, "no object has this prefix"));
    }
  }
  return {};
}

Result<void> StageSource(objstore::ObjectStore& objects, const std::string& uri_text, const fs::path& file) {
  Result<S3Uri> uri = ParseS3Uri(uri_text);
  if (!uri) return Fail(InvalidArgument("ClientError: sagemaker_submit_directory: " + uri.error().message));
  Result<void> linked = objects.LinkTo(uri->bucket, uri->key, file);
  if (!linked)
    return Fail(Unreadable("the source archive (sagemaker_submit_directory)", uri_text, WhyUnreadable(linked.error())));
  return {};
}

}  // namespace

std::string WhyUnreadable(const Error& error) {
  if (error.code == "NoSuchBucket") return "the bucket does not exist";
  if (error.code == "NoSuchKey") return "the object does not exist";
  return error.message;
}

Result<void> StageInputs(objstore::ObjectStore& objects, const sm::CreateTrainingJobRequest& request,
                         const fs::path& directory, objstore::BlobOwner owner, driver::InstanceSpec& spec) {
  TRYV(io::RemoveTree(directory));
  TRYV(io::MakeDirectories(directory));
  std::vector<InstanceGroup> groups = InstanceGroupsOf(request);
  for (const sm::Channel& channel : request.InputDataConfig) {
    ChannelShare share = ShareOf(channel, groups, spec.rank);
    if (share.count == 0) continue;  // bound to other groups
    fs::path links = directory / "channels" / channel.ChannelName;
    TRYV(StageChannel(objects, channel, links, owner, share));
    spec.channels.push_back({channel.ChannelName, links});
  }
  if (std::optional<std::string> source = SubmitDirectory(request)) {
    spec.source_archive = directory / "sourcedir.tar.gz";
    TRYV(StageSource(objects, *source, spec.source_archive));
  }
  return {};
}

bool BringsMpiDriver(objstore::ObjectStore& objects, const sm::CreateTrainingJobRequest& request) {
  auto drivers = std::ranges::find(request.InputDataConfig, "sm_drivers", &sm::Channel::ChannelName);
  if (drivers == request.InputDataConfig.end() || !drivers->DataSource.S3DataSource) return false;
  Result<S3Uri> uri = ParseS3Uri(drivers->DataSource.S3DataSource->S3Uri);
  if (!uri) return false;
  std::string directory = uri->key.ends_with('/') ? uri->key : uri->key + "/";
  // The settings are some lines, and an object as small as that is in memory.
  Result<objstore::ObjectContent> settings = objects.Get(uri->bucket, directory + "distributed.json");
  boost::system::error_code bad;
  json::value value = settings ? json::parse(settings->inline_bytes, bad) : json::value();
  return !bad && value.is_object() && value.get_object().contains("mpi_additional_options");
}

Result<void> CheckOutputBuckets(objstore::ObjectStore& objects, const sm::CreateTrainingJobRequest& request) {
  auto check = [&](const char* field, const std::string& uri_text) -> Result<void> {
    TRY(S3Uri uri, ParseS3Uri(uri_text));
    Result<objstore::BucketInfo> bucket = objects.HeadBucket(uri.bucket);
    if (bucket) return {};
    return Fail(InvalidArgument(std::string("ClientError: the bucket of ") + field + " '" + uri_text +
                                "' does not exist. Make it with 'aws s3 mb s3://" + uri.bucket +
                                "' and start the job again."));
  };
  TRYV(check("OutputDataConfig.S3OutputPath", request.OutputDataConfig.S3OutputPath));
  if (request.CheckpointConfig) TRYV(check("CheckpointConfig.S3Uri", request.CheckpointConfig->S3Uri));
  return {};
}

}  // namespace sagebrush::control
