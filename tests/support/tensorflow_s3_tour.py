"""Everything that TensorFlow does on s3:// paths, one function each. Runs as a job's script and by itself: every
function gets an s3:// directory of its own. With --plugin the library is loaded by hand, else somebody else has done it.
"""

import argparse
import concurrent.futures
import os

# As scripts written for the hosted service do.
os.environ["S3_USE_HTTPS"] = "1"
os.environ.setdefault("S3_VERIFY_SSL", "0")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf  # noqa: E402

gfile = tf.io.gfile


def raises(kind, function, *arguments):
    try:
        function(*arguments)
    except kind as error:
        return error
    raise AssertionError(f"{function.__name__}{arguments} did not raise {kind.__name__}")


def write(path, content):
    with gfile.GFile(path, "w") as file:
        file.write(content)


def read(path):
    with gfile.GFile(path) as file:
        return file.read()


def files(top):
    assert not gfile.exists(f"{top}/a.txt")
    write(f"{top}/a.txt", "first\nsecond\n")
    assert gfile.exists(f"{top}/a.txt") and not gfile.isdir(f"{top}/a.txt")
    with gfile.GFile(f"{top}/a.txt") as file:
        assert file.readline() == "first\n" and file.size() == 13 and file.tell() == 6
        file.seek(2)
        assert file.read(3) == "rst"
    write(f"{top}/a.txt", "replaced")
    assert read(f"{top}//./x/../a.txt") == "replaced"
    with gfile.GFile(f"{top}/a.txt", "a") as file:
        file.write(" and more")
    assert read(f"{top}/a.txt") == "replaced and more"
    with gfile.GFile(f"{top}/new.txt", "a") as file:
        file.write("made by appending")
    assert read(f"{top}/new.txt") == "made by appending"
    write(f"{top}/empty", "")
    assert gfile.stat(f"{top}/empty").length == 0 and read(f"{top}/empty") == ""
    assert gfile.stat(f"{top}/a.txt").mtime_nsec > 1_600_000_000 * 10**9
    odd = f"{top}/käse & <b> +%20?.txt"
    write(odd, "odd")
    assert read(odd) == "odd" and os.path.basename(odd) in gfile.listdir(top)
    gfile.remove(odd)
    raises(tf.errors.NotFoundError, gfile.remove, odd)
    raises(tf.errors.NotFoundError, read, odd)
    raises(tf.errors.NotFoundError, read, "s3://no-such-bucket-of-mine/x")
    raises(tf.errors.NotFoundError, write, "s3://no-such-bucket-of-mine/x", "content")
    raises(tf.errors.FailedPreconditionError, write, f"{top}/directory/", "content")
    raises(tf.errors.FailedPreconditionError, read, top)
    with gfile.GFile(f"{top}/flushed", "w") as file:
        file.write("seen")
        file.flush()
        assert read(f"{top}/flushed") == "seen"
        file.write(" whole")
    assert read(f"{top}/flushed") == "seen whole"


def directories(top):
    gfile.makedirs(f"{top}/deep/er")
    gfile.makedirs(f"{top}/deep/er")
    assert gfile.isdir(f"{top}/deep") and gfile.isdir(f"{top}/deep/er/") and gfile.listdir(f"{top}/deep/er") == []
    gfile.mkdir(f"{top}/one")
    gfile.mkdir(f"{top}/one")  # TensorFlow passes over ALREADY_EXISTS by itself
    for name in ("one/x-1", "one/x-2", "one/y", "two/sub/z"):
        write(f"{top}/{name}", name)
    assert gfile.isdir(f"{top}/two/sub") and not gfile.isdir(f"{top}/tw")
    assert sorted(gfile.listdir(top)) == ["deep", "one", "two"]
    assert sorted(gfile.listdir(f"{top}/one/")) == ["x-1", "x-2", "y"]
    raises(tf.errors.NotFoundError, gfile.listdir, f"{top}/none")
    assert sorted(gfile.glob(f"{top}/one/x-*")) == [f"{top}/one/x-1", f"{top}/one/x-2"]
    assert gfile.glob(f"{top}/*/sub") == [f"{top}/two/sub"] and gfile.glob(f"{top}/two/*/z") == [f"{top}/two/sub/z"]
    assert gfile.glob(f"{top}/none*") == [] and gfile.glob(f"{top}/one/[!x]") == [f"{top}/one/y"]
    seen = {where: (sorted(folders), sorted(names)) for where, folders, names in gfile.walk(top)}
    assert seen[f"{top}/one"] == ([], ["x-1", "x-2", "y"]) and seen[f"{top}/two"] == (["sub"], []), seen
    gfile.rename(f"{top}/one/y", f"{top}/two/y")
    assert read(f"{top}/two/y") == "one/y" and not gfile.exists(f"{top}/one/y")
    raises(tf.errors.AlreadyExistsError, gfile.rename, f"{top}/one/x-1", f"{top}/two/y")
    gfile.rename(f"{top}/one/x-1", f"{top}/two/y", True)
    assert read(f"{top}/two/y") == "one/x-1"
    gfile.copy(f"{top}/two/y", f"{top}/copy")
    assert read(f"{top}/copy") == read(f"{top}/two/y")
    gfile.rename(f"{top}/two", f"{top}/three")
    assert not gfile.exists(f"{top}/two") and read(f"{top}/three/sub/z") == "two/sub/z"
    raises(tf.errors.FailedPreconditionError, tf.compat.v1.gfile.Remove, f"{top}/three")
    gfile.rmtree(f"{top}/three")
    assert not gfile.exists(f"{top}/three")
    raises(tf.errors.NotFoundError, gfile.rmtree, f"{top}/three")


def pages(top):
    """More entries than one answer of S3 holds."""
    write(f"{top}/many/0000", "")
    for number in range(1, 1100):
        gfile.copy(f"{top}/many/0000", f"{top}/many/{number:04}")
    assert sorted(gfile.listdir(f"{top}/many")) == [f"{number:04}" for number in range(1100)]
    assert len(gfile.glob(f"{top}/many/1*")) == 100
    gfile.rmtree(f"{top}/many")
    assert not gfile.exists(f"{top}/many")


def large_files(top):
    block = os.urandom(1 << 20)
    with gfile.GFile(f"{top}/large", "wb") as file:
        for number in range(20):
            file.write(number.to_bytes(4, "little") + block[4:])
        assert not gfile.exists(f"{top}/large"), "parts must not show before the file is closed"
    assert gfile.stat(f"{top}/large").length == 20 << 20
    with gfile.GFile(f"{top}/large", "ab") as file:
        file.write(b"the end")
    with gfile.GFile(f"{top}/large", "rb") as file:
        for number in range(20):
            assert file.read(1 << 20) == number.to_bytes(4, "little") + block[4:], number
        assert file.read() == b"the end"
        file.seek(7 << 20)
        assert file.read(10) == (7).to_bytes(4, "little") + block[4:10]
    gfile.copy(f"{top}/large", f"{top}/copy")
    assert gfile.stat(f"{top}/copy").length == (20 << 20) + 7


def checkpoints(top):
    step = tf.Variable(0, dtype=tf.int64)
    weights = tf.Variable(tf.random.normal([1000, 300]))
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(step=step, weights=weights), f"{top}/model", max_to_keep=2)
    for number in range(1, 5):
        step.assign(number)
        manager.save()
    assert tf.train.latest_checkpoint(f"{top}/model") == f"{top}/model/ckpt-4"
    indices = [name for name in gfile.listdir(f"{top}/model") if name.endswith(".index")]
    assert sorted(indices) == ["ckpt-3.index", "ckpt-4.index"], indices
    restored = tf.Variable(tf.zeros([1000, 300]))
    tf.train.Checkpoint(step=tf.Variable(0, dtype=tf.int64), weights=restored).restore(
        tf.train.latest_checkpoint(f"{top}/model")).assert_consumed()
    assert bool(tf.reduce_all(restored == weights))


def saved_models(top):
    class Doubler(tf.Module):
        def __init__(self):
            self.factor = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x):
            return self.factor * x

    tf.saved_model.save(Doubler(), f"{top}/export/1")
    assert tf.saved_model.contains_saved_model(f"{top}/export/1")
    loaded = tf.saved_model.load(f"{top}/export/1")
    assert loaded(tf.constant([1.0, 4.0])).numpy().tolist() == [2.0, 8.0]


def records(top):
    payload = os.urandom(2000)
    for shard in range(3):
        with tf.io.TFRecordWriter(f"{top}/part-{shard}.tfrecord") as writer:
            for number in range(200 if shard else 11_000):  # the first one has more than 20 MiB
                writer.write(f"{shard}/{number}/".encode() + payload)
    assert gfile.stat(f"{top}/part-0.tfrecord").length > 20 << 20
    names = tf.data.Dataset.list_files(f"{top}/part-*.tfrecord", shuffle=False)
    data = names.interleave(tf.data.TFRecordDataset, cycle_length=3, num_parallel_calls=3).batch(100)
    count = 0
    for batch in data:
        for record in batch.numpy():
            assert record.endswith(payload)
            count += 1
    assert count == 11_400, count
    lines = f"{top}/lines.txt"
    write(lines, "".join(f"line {number}\n" for number in range(50_000)))
    assert sum(1 for _ in tf.data.TextLineDataset(lines)) == 50_000


def summaries(top):
    writer = tf.summary.create_file_writer(f"{top}/logs")
    with writer.as_default():
        tf.summary.scalar("loss", 0.5, step=1)
        writer.flush()
        names = gfile.glob(f"{top}/logs/events.out.tfevents.*")
        assert len(names) == 1 and tags(names[0]) == ["loss"]
        tf.summary.scalar("accuracy", 0.9, step=1)
    writer.close()
    assert tags(names[0]) == ["loss", "accuracy"]


def threads_and_forks(top):
    def round_trip(number):
        write(f"{top}/{number}", str(number) * 100_000)
        return read(f"{top}/{number}") == str(number) * 100_000

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(40)))
    shared = gfile.GFile(f"{top}/9")
    assert shared.read(10) == "9" * 10
    children = []
    for number in (50, 51):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(round_trip(number) for _ in range(20)) else 1)
        children.append(child)
    assert all(round_trip(52) for _ in range(20))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert shared.read() == "9" * (100_000 - 10)


def tags(path):
    return [value.tag for event in tf.compat.v1.train.summary_iterator(path) for value in event.summary.value]


TOUR = (files, directories, pages, large_files, checkpoints, saved_models, records, summaries, threads_and_forks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--plugin")
    parser.add_argument("--only", default=",".join(function.__name__ for function in TOUR))
    arguments, _ = parser.parse_known_args()
    if arguments.plugin:
        tf.experimental.register_filesystem_plugin(arguments.plugin)
    for name in arguments.only.split(","):
        {function.__name__: function for function in TOUR}[name](f"{arguments.model_dir}/tour/{name}")
        print("passed", name, flush=True)
    print("the tour is over, TensorFlow", tf.__version__)


if __name__ == "__main__":
    main()
