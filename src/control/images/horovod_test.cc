// Which wheel of Horovod an environment gets. Python, uv and pip are stand-ins that note what they are asked for; the
// wheels are real archives.
#include "control/images/horovod.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/subprocess.h"

namespace sagebrush::control {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr char kPython[] = R"sh(#!/bin/sh
here=$(dirname "$(dirname "$0")")
case "$2" in
  *aarch64*) echo 2.21.0 ;;
  *zipfile*) exec python3 "$@" ;;
  *sys.version*) echo 3 ;;
  *hvd*) grep -q unloadable "$here/asked" && { echo 'undefined symbol'; exit 1; }; exit 0 ;;
  pip)
    echo "build $HOROVOD_CMAKE $HOROVOD_WITH_GLOO" >>"$here/asked"
    while [ $# -gt 1 ]; do [ "$1" = -w ] && out=$2; [ "$1" = -r ] && cat "$2" >>"$here/asked"; shift; done
    if [ -e "$here/fails" ]; then echo 'x.cc:1: error: no such thing'; echo 'gmake: *** gave up'; exit 1; fi
    echo '  [  5%] Building'; echo '  [ 35%] Building'; echo '  [ 38%] Building'; echo '  [100%] Linking'
    "$here/make-wheel" "$out" 2.21.0 ;;
esac
)sh";

class HorovodTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "horovod-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    Script("bin/python", kPython);
    Script("bin/uv", "#!/bin/sh\nfor last; do :; done\necho \"uv $last\" >>" + (directory_ / "asked").string() + "\n");
    Script("make-wheel", R"(#!/usr/bin/env python3
import json, os, sys, zipfile
os.makedirs(sys.argv[1], exist_ok=True)
tag = "cp%d%d" % sys.version_info[:2]
name = "horovod-0.28.1-%s-%s-linux_x86_64%s.whl" % (tag, tag, sys.argv[3] if len(sys.argv) > 3 else "")
with zipfile.ZipFile(os.path.join(sys.argv[1], name), "w") as wheel:
    wheel.writestr("horovod/metadata.json", json.dumps({"tensorflow": sys.argv[2]}))
)");
    for (const char* tool : {"mpirun", "mpicxx", "cmake", "c++", "make"})
      Script(fs::path("bin") / tool, "#!/bin/sh\necho 1\n");
    install_.version = "0.28.1";
    install_.python = directory_ / "bin/python";
    install_.built = directory_ / "built";
    install_.uv = directory_ / "bin/uv";
    install_.environment = {{"PATH", (directory_ / "bin").string() + ":" + ::getenv("PATH")}};
    install_.say = [this](std::string line) { said_.push_back(std::move(line)); };
  }
  ~HorovodTest() override { fs::remove_all(directory_); }

  void Script(const fs::path& name, const std::string& text) {
    ASSERT_TRUE(io::MakeDirectories((directory_ / name).parent_path()));
    ASSERT_TRUE(io::WriteFile(directory_ / name, text, 0755));
    ::chmod((directory_ / name).c_str(), 0755);
  }
  void MakeWheel(const std::string& folder, const std::string& tensorflow) {
    auto made = io::Run({.argv = {(directory_ / "make-wheel").string(), (directory_ / folder).string(), tensorflow}});
    ASSERT_TRUE(made && made->exit_code == 0) << made->output;
  }
  std::string Asked() const { return io::ReadFile(directory_ / "asked").value_or(""); }

  fs::path directory_;
  HorovodInstall install_;
  std::vector<std::string> said_;
};

TEST_F(HorovodTest, TakesThePrebuiltWheelOfThisTensorFlow) {
  MakeWheel("prebuilt", "2.21.0");
  install_.prebuilt = directory_ / "prebuilt";
  Result<void> installed = InstallHorovod(install_);
  ASSERT_TRUE(installed) << installed.error().message;
  EXPECT_THAT(Asked(), HasSubstr("uv " + (directory_ / "prebuilt/horovod-0.28.1-").string()));
  EXPECT_THAT(Asked(), Not(HasSubstr("build ")));
  EXPECT_TRUE(said_.empty());
}

TEST_F(HorovodTest, BuildsOnceWhenNoWheelFitsAndTellsHowFarItIs) {
  MakeWheel("prebuilt", "2.15.1");
  ASSERT_TRUE(io::WriteFile(directory_ / "prebuilt/horovod-0.28.1-cp311-cp311-broken.whl", "no archive"));
  install_.prebuilt = directory_ / "prebuilt";
  Result<void> installed = InstallHorovod(install_);
  ASSERT_TRUE(installed) << installed.error().message;
  EXPECT_THAT(Asked(), HasSubstr("build " + (directory_ / "built").string()));
  EXPECT_THAT(Asked(), HasSubstr("/cmake \n")) << "without the operation for XLA, and without Gloo";
  EXPECT_THAT(Asked(), HasSubstr("horovod==0.28.1 --hash=sha256:92a43f5a"));
  EXPECT_THAT(said_, Contains(HasSubstr("building Horovod 0.28.1 for TensorFlow 2.21.0")));
  EXPECT_THAT(said_, Contains(HasSubstr("building Horovod: 30 % after ")));
  EXPECT_THAT(said_, Contains(HasSubstr("building Horovod: 100 % after ")));
  EXPECT_EQ(said_.size(), 4u);
  said_.clear();
  ASSERT_TRUE(io::WriteFile(directory_ / "asked", ""));
  ASSERT_TRUE(InstallHorovod(install_));
  EXPECT_THAT(Asked(), Not(HasSubstr("build "))) << "it was kept";
  EXPECT_TRUE(said_.empty());
}

TEST_F(HorovodTest, AFailingBuildSaysTheCompilersWords) {
  ASSERT_TRUE(io::WriteFile(directory_ / "fails", ""));
  Result<void> installed = InstallHorovod(install_);
  ASSERT_FALSE(installed);
  EXPECT_THAT(installed.error().message, HasSubstr("does not build against TensorFlow 2.21.0"));
  EXPECT_THAT(installed.error().message, HasSubstr("x.cc:1: error: no such thing"));
  EXPECT_TRUE(fs::is_empty(directory_ / "built")) << "nothing is left";
}

TEST_F(HorovodTest, AMissingToolIsNamedWithThePackages) {
  fs::remove(directory_ / "bin/mpicxx");
  std::string only = directory_ / "only";
  ASSERT_TRUE(io::MakeDirectories(only));
  for (const char* tool : {"sh", "dirname", "python3", "head"}) {
    fs::create_symlink(std::string(tool) == "python3" ? "/usr/bin/python3" : std::string("/bin/") + tool,
                       fs::path(only) / tool);
  }
  install_.environment = {{"PATH", (directory_ / "bin").string() + ":" + only}};
  Result<void> installed = InstallHorovod(install_);
  ASSERT_FALSE(installed);
  EXPECT_THAT(installed.error().message, HasSubstr("there is no mpicxx: apt-get install libopenmpi-dev"));
}

TEST_F(HorovodTest, AWheelThatDoesNotLoadIsNotTaken) {
  ASSERT_TRUE(io::WriteFile(directory_ / "asked", "unloadable\n"));
  MakeWheel("prebuilt", "2.21.0");
  install_.prebuilt = directory_ / "prebuilt";
  Result<void> installed = InstallHorovod(install_);
  ASSERT_FALSE(installed);
  EXPECT_THAT(Asked(), HasSubstr("build "));
  EXPECT_THAT(installed.error().message, HasSubstr("was built, but does not load: undefined symbol"));
}

TEST(HorovodBuild, ReadsTheShareThatMakePrints) {
  EXPECT_EQ(BuildShare("[ 35%] Building CXX object"), 35);
  EXPECT_EQ(BuildShare("[100%] Linking"), 100);
  EXPECT_EQ(BuildShare("[  3%]"), 3);
  for (const char* other : {"", "[", "[ x%] a", "-- [35%]", "[ 35 ] a"}) EXPECT_EQ(BuildShare(other), -1) << other;
}

}  // namespace
}  // namespace sagebrush::control
