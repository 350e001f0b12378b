"""The simulated robot as a process, and a node that hears and commands it."""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from client_rig import Client
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from std_srvs.srv import Trigger

from arfm_ros.nodes.ros import topics

ROOT = Path(__file__).resolve().parents[2]
ALL = topics.Qos(reliable=True, depth=2000)  # a reader that loses nothing


class SimClient(Client):
    """A node in this process that keeps all it hears."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.heard: dict[str, list] = defaultdict(list)

    def listen(self, row: topics.Topic, qos: topics.Qos | None = None):
        return topics.subscription(self.node, row, self.heard[row.name].append, qos)

    def count(self, row: topics.Topic, wanted: int) -> list:
        """Wait for messages that were made after this call."""
        heard, now = self.heard[row.name], time.time()
        heard.clear()
        self.until(lambda: sum(seconds(message) > now for message in heard) >= wanted)
        return [message for message in heard if seconds(message) > now]

    def call(self, kind, name: str, request):
        return self.ask(self.node.create_client(kind, name), request)

    def set(self, **values):
        kinds = {int: ("integer_value", 2), str: ("string_value", 4)}
        assert ParameterType.PARAMETER_INTEGER == 2 and ParameterType.PARAMETER_STRING == 4
        request = SetParameters.Request()
        for name, value in values.items():
            field, number = kinds[type(value)]
            what = ParameterValue(type=number, **{field: value})
            request.parameters.append(Parameter(name=name, value=what))
        return self.call(SetParameters, "/sim_node/set_parameters", request).results

    def health(self) -> dict[str, str]:
        (status,) = self.count(topics.DIAGNOSTICS, 1)[-1].status
        return {"message": status.message} | {pair.key: pair.value for pair in status.values}


def start(domain: int, *arguments: str) -> subprocess.Popen:
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    env = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONPATH": paths}
    env.pop("DISPLAY", None), env.pop("WAYLAND_DISPLAY", None)
    command = [sys.executable, "-m", "arfm_ros.nodes.sim_node", "--ros-args", *arguments]
    return subprocess.Popen(command, env=env, stdout=-1, stderr=subprocess.STDOUT, text=True)


def seconds(message) -> float:
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


def reset(client: SimClient, task: str, seed: int) -> dict:
    assert all(result.successful for result in client.set(task=task, seed=seed))
    response = client.call(Trigger, "/sim/reset", Trigger.Request())
    assert response.success, response.message
    return json.loads(response.message)
