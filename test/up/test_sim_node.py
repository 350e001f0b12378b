"""The simulated robot as a real ROS 2 process."""

import signal
import time
from functools import partial

import numpy as np
import pytest

pytest.importorskip("rclpy")
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from sim_rig import ALL, SimClient, reset, seconds, start

from arfm_ros.nodes.ros import topics
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.up.domain import reserve_domain
from arfm_ros.wire.cdr import header_stamp_ns as stamp_of

pytestmark = pytest.mark.robot

ALL_CLOCK = topics.Qos(reliable=False, depth=2000)


@pytest.fixture(scope="module")
def domain():
    number, reservation = reserve_domain()
    yield number
    if reservation is not None:
        reservation.close()


@pytest.fixture
def clocked(domain):
    arguments = ("publish_clock:=true", "cameras:=['']", "joint_rate_hz:=100.0")
    words = [word for argument in arguments for word in ("-p", argument)]
    process = start(domain, *words, "-r", "__ns:=/clocked")
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def client(domain):
    process = start(domain, "-p", "task:=lift", "-p", "seed:=3")
    client = SimClient(domain)
    client.listen(topics.JOINT_STATES, ALL)
    for row in (topics.GRIPPER_STATES, topics.CURRENT_POSE, topics.TASK_STATE, topics.DIAGNOSTICS):
        client.listen(row)
    client.listen(topics.CAMERA_INFO.of("scene"))
    client.until(lambda: client.heard["joint_states"], timeout_s=60.0)
    yield client
    client.close()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert "Traceback" not in output, output


def test_joint_states_come_at_200_hz_or_more_of_simulated_time(client):
    states = client.count(topics.JOINT_STATES, 500)
    gaps = np.diff([seconds(state) for state in states])
    assert list(states[0].name) == list(fr3.JOINT_NAMES)
    assert np.median(gaps) <= 1 / 200 and (gaps > 0).all()
    if float(client.health()["real_time_factor"]) > 0.98:  # else this machine is overloaded
        assert 1 / gaps.mean() >= 200


def test_both_cameras_give_every_frame_with_one_stamp_and_it_is_counted(client):
    scene, wrist = topics.IMAGE.of("scene"), topics.IMAGE.of("wrist")
    readers = [client.listen(row, ALL) for row in (wrist, scene)]
    images = client.count(scene, 20)
    stamps = {seconds(image) for image in client.heard[wrist.name]}
    assert len({seconds(image) for image in images} & stamps) >= 19
    first = images[0]
    assert (first.height, first.width, first.encoding, first.step) == (240, 320, "rgb8", 960)
    assert len(first.data) == 240 * 320 * 3 and np.std(first.data) > 10
    info = client.heard["scene/camera_info"][-1]
    assert info.k[0] == info.k[4] > 100 and (info.k[2], info.k[5]) == (160.0, 120.0)
    before = int(client.health()["frames.scene"])
    got = len(client.count(scene, 15))
    assert int(client.health()["frames.scene"]) >= before + got - 5
    for reader in readers:
        client.node.destroy_subscription(reader)


def test_a_message_leaves_at_its_stamp_never_before_and_a_frame_with_its_state(client):
    rows = (topics.JOINT_STATES, topics.IMAGE.of("wrist"))
    came: dict[str, list[tuple[int, int]]] = {row.name: [] for row in rows}

    def note(name: str, cdr: bytes) -> None:
        came[name].append((stamp_of(cdr), time.time_ns()))

    readers = [
        topics.subscription(client.node, row, partial(note, row.name), ALL, raw=True)
        for row in rows
    ]
    late = int(client.health()["frames_late"])
    client.until(lambda: len(came["wrist/image_raw"]) > 60)
    states, frames = (np.array(came[row.name]) for row in rows)
    begin, end = states[0, 0], states[-1, 0]
    within = [stamp for stamp, _ in frames if begin <= stamp <= end]
    assert len(within) > 50 and set(within) <= set(states[:, 0])
    for stamps_and_times in (states, frames):
        delays_ms = (stamps_and_times[:, 1] - stamps_and_times[:, 0]) * 1e-6
        assert delays_ms.min() > -1.0 and (np.diff(stamps_and_times[:, 0]) > 0).all()
    health = client.health()
    if float(health["real_time_factor"]) > 0.98 and int(health["frames_late"]) <= late + 10:
        assert np.percentile(delays_ms, 25) < 6.0  # rendering alone takes as long
    for reader in readers:
        client.node.destroy_subscription(reader)


def test_over_a_reset_stamps_never_go_back_and_neither_does_the_robot(client):
    def heard_since(time_s: float) -> bool:
        return seconds(client.heard["joint_states"][-1]) > time_s

    for task, seed in (("lift", 5), ("reach", 6), ("lift", 7)):
        client.count(topics.JOINT_STATES, 50)
        before = len(client.heard["joint_states"])
        reset(client, task, seed)
        client.until(partial(heard_since, time.time() + 0.1))
        states = client.heard["joint_states"]
        assert (np.diff([seconds(state) for state in states]) > 0).all()
        old, new = states[before - 1].position, states[-1].position
        is_new = [
            np.abs(np.subtract(state.position, new)).max()
            < np.abs(np.subtract(state.position, old)).max()
            for state in states
        ]
        assert np.count_nonzero(np.diff(np.array(is_new, dtype=int))) == 1


def test_a_compressed_image_is_the_raw_one_as_jpeg(client):
    cv2 = pytest.importorskip("cv2")
    raw, jpeg = topics.IMAGE.of("scene"), topics.COMPRESSED_IMAGE.of("scene")
    readers = [client.listen(row, ALL) for row in (raw, jpeg)]
    packed = client.count(jpeg, 3)[-1]
    twins: dict = {}
    client.until(
        lambda: (
            twins.update({seconds(i): i for i in client.heard[raw.name]})
            or seconds(packed) in twins
        )
    )
    pixels = cv2.imdecode(np.frombuffer(packed.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    twin = np.frombuffer(twins[seconds(packed)].data, np.uint8).reshape(240, 320, 3)
    assert np.abs(pixels.astype(int) - twin).mean() < 3.0
    for reader in readers:
        client.node.destroy_subscription(reader)


def test_a_reset_tells_task_seed_and_instruction_and_repeats_itself(client):
    assert reset(client, "lift", 5)["task"] == "lift"
    first = client.count(topics.JOINT_STATES, 3)[-1].position
    answer = reset(client, "reach", 6)
    assert answer["seed"] == 6 and len(answer["instruction"]) > 5
    other = client.count(topics.JOINT_STATES, 3)[-1].position
    reset(client, "lift", 5)
    again = client.count(topics.JOINT_STATES, 3)[-1].position
    assert np.allclose(first, again, atol=1e-6) and not np.allclose(first, other, atol=1e-3)
    status = client.count(topics.TASK_STATE, 2)[-1].status[0]
    values = {pair.key: pair.value for pair in status.values}
    assert status.name == "lift" and values["seed"] == "5" and values["success"] == "false"
    assert 0.0 <= float(values["progress"]) < 1.0 and float(values["elapsed_s"]) > 0.0


def test_an_unknown_task_or_controller_is_refused_with_the_known_ones(client):
    (task,), (controller,) = client.set(task="dance"), client.set(controller="pid")
    assert not task.successful and "lift" in task.reason
    assert not controller.successful and "joint_impedance_controller" in controller.reason
    assert reset(client, "lift", 1)["task"] == "lift"


def test_a_target_moves_the_arm_and_a_second_publisher_or_a_nan_does_not(client):
    reset(client, "lift", 2)
    start_rad = np.array(client.count(topics.JOINT_STATES, 3)[-1].position)
    publisher = topics.publisher(client.node, topics.TARGET_JOINT)
    client.until(lambda: publisher.get_subscription_count() == 1)

    def send(offset: float) -> None:
        publisher.publish(JointState(position=list(start_rad + offset), velocity=[0.0] * 7))

    def offsets() -> np.ndarray:
        return np.array(client.count(topics.JOINT_STATES, 250)[-1].position) - start_rad

    send(0.02)
    assert np.allclose(offsets(), 0.02, atol=2e-3)
    send(np.nan)
    assert np.allclose(offsets(), 0.02, atol=2e-3)
    assert "nan" in client.health()["last_ignored"]
    second = topics.publisher(client.node, topics.TARGET_JOINT)
    client.until(lambda: second.get_subscription_count() == 1)
    client.count(topics.JOINT_STATES, 50)  # the robot's discovery of it takes a moment
    send(-0.02)
    assert np.allclose(offsets(), 0.02, atol=2e-3)
    health = client.health()
    assert health["publisher_conflicts"] == "target_joint"
    assert "2 publishers" in health["message"]
    client.node.destroy_publisher(second)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("task:=dance", "needs one of reach, lift"),
        ("cameras:=[ceiling]", "no camera ceiling"),
        ("joint_rate_hz:=5000.0", "joint_rate_hz"),
        ("view:=true", "needs a display"),
        ("colour:=red", "no parameter 'colour'"),
    ],
)
def test_a_wrong_parameter_ends_the_node_with_one_line(domain, argument, message):
    process = start(domain, "-p", argument)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and message in output
    assert "Traceback" not in output


def test_with_its_own_clock_all_stamps_are_whole_ticks_of_it(domain, clocked):
    client = SimClient(domain)
    states = topics.JOINT_STATES.at("/clocked/joint_states")
    client.listen(states, ALL)
    clock: list = []
    client.node.create_subscription(Clock, "/clock", clock.append, ALL_CLOCK.profile())
    client.until(lambda: len(client.heard[states.name]) > 50 and len(clock) > 50, timeout_s=60.0)
    stamps_ns = [
        s.header.stamp.sec * 10**9 + s.header.stamp.nanosec for s in client.heard[states.name]
    ]
    assert set(np.diff(stamps_ns)) == {10_000_000}
    times_ns = [c.clock.sec * 10**9 + c.clock.nanosec for c in clock]
    assert all(gap % 2_000_000 == 0 for gap in np.diff(times_ns))
    assert (stamps_ns[0] - times_ns[0]) % 2_000_000 == 0
    client.close()
    clocked.terminate()
    output, _ = clocked.communicate(timeout=20)
    assert clocked.returncode == 0 and "Traceback" not in output, output
