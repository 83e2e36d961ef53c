"""ListEndpoints and the waiters with boto3, on endpoints that fail at once because nobody knows their image."""

import datetime

import pytest
from botocore.exceptions import ClientError

from support.jobs import REGION

UNKNOWN = f"000000000000.dkr.ecr.{REGION}.amazonaws.com/nobody-knows:1"
PAUSE = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture(scope="module")
def failed(endpoints):
    """Five endpoints in the order of their creation, all Failed; their names' order is another one."""
    config = endpoints.config(endpoints.model(image=UNKNOWN))
    prefix = endpoints.jobs.new_name("listed")
    names = [f"{prefix}-{letter}" for letter in "caebd"]
    for name in names:
        endpoints.names.append(name)
        endpoints.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        assert endpoints.settled(name)["EndpointStatus"] == "Failed"
    return prefix, names


def listed(endpoints, page_size=100, **query):
    pages = endpoints.sagemaker.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": page_size}, **query)
    return [entry["EndpointName"] for page in pages for entry in page["Endpoints"]]


@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_sorts_and_pages(endpoints, failed, page_size):
    prefix, names = failed

    def one(**order):
        return listed(endpoints, page_size, NameContains=prefix, **order)

    assert one() == names[::-1], "newest first"
    assert one(SortBy="CreationTime", SortOrder="Ascending") == names
    assert one(SortBy="Name", SortOrder="Ascending") == sorted(names)
    assert one(SortBy="Name", SortOrder="Descending") == sorted(names, reverse=True)
    assert sorted(one(SortBy="Status", SortOrder="Ascending")) == sorted(names)


def test_filters(endpoints, failed):
    prefix, names = failed
    created = [endpoints.describe(name)["CreationTime"] for name in names]
    second = datetime.timedelta(seconds=1)
    assert listed(endpoints, NameContains=names[1]) == [names[1]]
    assert listed(endpoints, NameContains=prefix, StatusEquals="InService") == []
    assert listed(endpoints, NameContains=prefix, CreationTimeBefore=created[0] - second) == []
    assert len(listed(endpoints, NameContains=prefix, CreationTimeAfter=created[0] - second)) == len(names)
    assert len(listed(endpoints, NameContains=prefix, LastModifiedTimeAfter=created[0] - second)) == len(names)
    assert listed(endpoints, NameContains=prefix, LastModifiedTimeBefore=created[0] - second) == []


def test_bad_queries_are_refused(endpoints):
    for query, word in (({"SortBy": "Colour"}, "sortBy"), ({"StatusEquals": "Broken"}, "statusEquals"),
                        ({"NextToken": "bm9uZQ=="}, "NextToken")):
        with pytest.raises(ClientError, match=word):
            endpoints.sagemaker.list_endpoints(**query)


def test_waiters(endpoints, failed):
    _, names = failed
    with pytest.raises(Exception, match="terminal failure state"):
        endpoints.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=names[0], WaiterConfig=PAUSE)
    endpoints.delete(names[0])
    endpoints.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=names[0], WaiterConfig=PAUSE)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        endpoints.describe(names[0])
