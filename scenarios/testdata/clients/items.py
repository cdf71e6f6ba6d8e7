"""items.py: what DynamoDB's users do first, by boto3's tables, over HTTPS and over HTTP."""
from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

once = Config(connect_timeout=1, read_timeout=10, retries={"max_attempts": 0})
for tls in True, False:
    table = boto3.resource("dynamodb", use_ssl=tls, config=once).create_table(
        TableName="visits",
        KeySchema=[{"AttributeName": "who", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": "who", "AttributeType": "S"}, {"AttributeName": "at", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for at in range(40):
            batch.put_item(Item={"who": "ada", "at": at, "pages": ["a", at], "price": Decimal("1.5")})
    assert table.get_item(Key={"who": "ada", "at": 7})["Item"]["pages"] == ["a", 7]
    late = table.query(KeyConditionExpression=Key("who").eq("ada") & Key("at").gte(30), FilterExpression=Attr("price").gt(1))
    assert [i["at"] for i in late["Items"]] == list(range(30, 40)), late
    new = table.update_item(
        Key={"who": "ada", "at": 7}, UpdateExpression="SET price = price + :p", ExpressionAttributeValues={":p": 1}, ReturnValues="UPDATED_NEW"
    )
    assert new["Attributes"] == {"price": Decimal("2.5")}, new
    try:
        table.put_item(Item={"who": "ada", "at": 7}, ConditionExpression=Attr("who").not_exists())
        raise AssertionError("an item was written against its condition")
    except ClientError as e:
        assert e.response["Error"]["Code"] == "ConditionalCheckFailedException", e
    assert table.scan(Select="COUNT")["Count"] == 40
    table.delete()
    table.wait_until_not_exists()
