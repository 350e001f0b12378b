"""Other robots than the FR3 as real ROS 2 processes: their topics, names, units and refusals."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
from arms_rig import Robot
from sensor_msgs.msg import JointState
from sim_rig import reset
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from arfm_ros.nodes.ros import topics
from arfm_ros.robots.files.load import find_robot, load_robot

pytestmark = pytest.mark.robot

MADE_UP = Path(__file__).parents[2] / "robots" / "made_up_arm" / "arm.yaml"
MOVED = """    state_topics: [franka/joint_states]
    command_topics: {command: franka/target_joint}
"""


def trajectory(joints: tuple[str, ...], points: dict[float, np.ndarray]) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(joints))
    for at_s, position in points.items():
        point = JointTrajectoryPoint(positions=position.tolist())
        point.velocities = [0.0] * len(joints)
        point.time_from_start.nanosec = round(at_s * 1e9)
        message.points.append(point)
    return message


@pytest.fixture(scope="module")
def ur5e() -> Iterator[Robot]:
    robot = Robot("ur5e", ("joint_states",))
    yield robot
    robot.close()


JOINTS = load_robot("ur5e").group("arm").names
TRAJECTORIES = "scaled_joint_trajectory_controller/joint_trajectory"


def test_arm_and_gripper_are_in_one_message_as_the_driver_has_it(ur5e: Robot) -> None:
    assert list(ur5e.positions()) == [*JOINTS, "robotiq_85_left_knuckle_joint"]
    assert ur5e.positions()["robotiq_85_left_knuckle_joint"] == pytest.approx(0.0, abs=0.01)
    ur5e.client.until(lambda: ur5e.client.heard["robot_description"])
    assert '<robot name="ur5e">' in ur5e.client.heard["robot_description"][-1].data


def test_a_trajectory_moves_the_arm_and_stands_where_it_ends(ur5e: Robot) -> None:
    reset(ur5e.client, "reach", 1)
    begin = np.array([ur5e.positions()[name] for name in JOINTS])
    sender = ur5e.client.node.create_publisher(JointTrajectory, TRAJECTORIES, 1)
    ur5e.client.until(lambda: sender.get_subscription_count())
    sender.publish(trajectory(JOINTS, {0.4: begin + 0.1, 0.9: begin + 0.2}))
    ur5e.client.until(lambda: abs(ur5e.positions()[JOINTS[0]] - begin[0] - 0.2) < 1e-3)
    end = np.array([ur5e.positions()[name] for name in JOINTS])
    np.testing.assert_allclose(end, begin + 0.2, atol=2e-3)


def test_what_a_jtc_refuses_is_told_in_diagnostics(ur5e: Robot) -> None:
    sender = ur5e.client.node.create_publisher(JointTrajectory, TRAJECTORIES, 1)
    ur5e.client.until(lambda: sender.get_subscription_count())
    sender.publish(trajectory(("elbow_joint",), {0.5: np.zeros(1)}))
    told: dict[str, str] = {}

    def refused() -> bool:
        told.update(ur5e.client.health())
        return "commands refused" in told["message"]

    ur5e.client.until(refused)
    assert "needs all 6" in told["last_ignored"] and told[f"ignored.{TRAJECTORIES}"] == "1"


@pytest.mark.skipif(find_spec("control_msgs") is not None, reason="the gripper is an action")
def test_without_control_msgs_the_gripper_is_a_plain_topic_of_radians(ur5e: Robot) -> None:
    name = "robotiq_gripper_controller/commands"
    sender = ur5e.client.node.create_publisher(Float64MultiArray, name, 1)
    ur5e.client.until(lambda: sender.get_subscription_count())
    sender.publish(Float64MultiArray(data=[0.6]))
    ur5e.client.until(lambda: abs(ur5e.positions()["robotiq_85_left_knuckle_joint"] - 0.6) < 0.02)


def test_two_arms_have_a_namespace_each_and_do_not_mix() -> None:
    with Robot("fr3_two_arms", ("left/joint_states", "right/joint_states")) as robot:
        names = load_robot("fr3_two_arms").group("left_arm").names
        before, other = robot.positions(0), robot.positions(1)
        assert tuple(before) == names and "gripper_joint" not in before
        sender = robot.client.node.create_publisher(JointState, "left/target_joint", 1)
        robot.client.until(lambda: sender.get_subscription_count())
        goal = [before[name] + 0.05 for name in names]
        sender.publish(JointState(name=list(names), position=goal, velocity=[0.0] * 7))
        robot.client.until(lambda: abs(robot.positions(0)[names[0]] - goal[0]) < 2e-3)
        now = robot.positions(1)
        assert all(abs(now[name] - other[name]) < 1e-3 for name in other)


def test_published_names_scales_and_offsets_of_a_made_up_arm() -> None:
    with Robot(str(MADE_UP), ("joint_states", "hand/joint_states")) as robot:
        reset(robot.client, "reach", 2)
        arm = robot.positions()
        assert list(arm) == ["rail", "turn", "motor_3", "bend", "nod", "roll"]
        assert list(robot.positions(1)) == ["finger_a_joint"]
        name = "joint_trajectory_controller/joint_trajectory"
        sender = robot.client.node.create_publisher(JointTrajectory, name, 1)
        robot.client.until(lambda: sender.get_subscription_count())
        goal = np.array(list(arm.values())) + np.array([0, 0, 0.2, 0, 0, 0])
        sender.publish(trajectory(tuple(arm), {0.5: goal}))
        robot.client.until(lambda: abs(robot.positions()["motor_3"] - goal[2]) < 1e-3)


def test_each_camera_is_on_the_topic_that_the_yaml_names() -> None:
    with Robot("gen3", ("joint_states",), cameras=True) as robot:
        for name in ("camera/color/image_raw", "scene/image_raw"):
            row = topics.IMAGE.at(name)
            robot.client.listen(row)
            robot.client.until(lambda row=row: robot.client.heard[row.name])
        info = topics.CAMERA_INFO.at("camera/color/camera_info")
        robot.client.listen(info)
        robot.client.until(lambda: robot.client.heard[info.name])


def test_an_fr3_with_other_topics_listens_and_reports_there(tmp_path: Path) -> None:
    given = find_robot("fr3")
    text = given.read_text().replace("urdf/fr3.urdf", str(given.parent / "urdf" / "fr3.urdf"))
    text = text.replace("    state_topics: [joint_states]\n", MOVED)
    assert MOVED in text
    (tmp_path / "moved.yaml").write_text(text)
    with Robot(str(tmp_path / "moved.yaml"), ("franka/joint_states",)) as robot:
        names = load_robot("fr3").group("arm").names
        goal = [robot.positions()[name] + 0.05 for name in names]
        sender = robot.client.node.create_publisher(JointState, "franka/target_joint", 1)
        robot.client.until(lambda: sender.get_subscription_count())
        sender.publish(JointState(name=list(names), position=goal, velocity=[0.0] * 7))
        robot.client.until(lambda: abs(robot.positions()[names[0]] - goal[0]) < 2e-3)


def test_a_task_that_the_robot_cannot_do_is_refused_when_it_is_set() -> None:
    with Robot("iiwa14", ("joint_states",)) as robot:
        (result,) = robot.client.set(task="lift")
        assert not result.successful and "needs one of reach" in result.reason
        reset(robot.client, "reach", 3)
